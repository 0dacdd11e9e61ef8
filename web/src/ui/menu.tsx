// A button that opens a short list of actions. The browser's popover gives the layer above everything, closing on a click
// elsewhere and on Esc.

import { useId, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icons";

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
  danger?: boolean;
}

// Space that the longest menu needs below its button.
const roomBelow = 220;

export function Menu({ label, items }: { label: string; items: MenuItem[] }) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);

  function place(event: Pick<ToggleEvent, "newState">): void {
    const element = list.current;
    const anchor = button.current?.getBoundingClientRect();
    if (event.newState !== "open" || !element || !anchor) return;
    const below = anchor.bottom + roomBelow < window.innerHeight;
    element.style.top = below ? `${anchor.bottom + 4}px` : "auto";
    element.style.bottom = below ? "auto" : `${window.innerHeight - anchor.top + 4}px`;
    element.style.right = `${Math.max(8, Math.min(window.innerWidth - anchor.right, window.innerWidth - 216))}px`;
  }

  function move(event: KeyboardEvent): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || !list.current?.matches(":popover-open")) return;
    event.preventDefault();
    const buttons = [...list.current.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    if (at === -1) buttons.at(step === 1 ? 0 : -1)?.focus();
    else buttons[(at + step + buttons.length) % buttons.length]?.focus();
  }

  return (
    <>
      <button ref={button} type="button" class="icon-button" aria-label={label} title={label} aria-haspopup="menu" popovertarget={id} onKeyDown={move}>
        <Icon name="more" />
      </button>
      <div
        ref={list}
        id={id}
        class="menu"
        role="menu"
        aria-label={label}
        popover="auto"
        onBeforeToggle={place}
        onToggle={(event) => {
          // Told a moment after the menu has opened: an arrow key may have been quicker.
          const waiting = event.newState === "open" && !list.current?.contains(document.activeElement);
          if (waiting) list.current?.querySelector("button")?.focus({ preventScroll: true });
        }}
        onKeyDown={move}
      >
        {items.map((item) => (
          <button
            type="button"
            role="menuitem"
            key={item.label}
            class={item.danger ? "danger" : ""}
            onClick={() => {
              list.current?.hidePopover();
              item.run();
            }}
          >
            <Icon name={item.icon} />
            {item.label}
          </button>
        ))}
      </div>
    </>
  );
}
