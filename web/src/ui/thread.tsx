// The messages, scrolled along with an answer as long as the reader is at the end.

import { useLayoutEffect, useRef } from "preact/hooks";
import { useSignal, type Signal } from "@preact/signals";
import { copyText } from "./clipboard";
import { useApp } from "./context";
import { Icon } from "./icons";
import { Answer, Question } from "./message";
import { Welcome } from "./welcome";

// Nearer to the end than this counts as being there.
const endSlackPx = 48;

export function Thread({ editing }: { editing: Signal<string | null> }) {
  const { chats } = useApp();
  const path = chats.path.value;
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const away = useSignal(false);
  const lastTop = useRef(0);

  // Read so that the effect below runs with each piece of an answer.
  const grown = chats.currentAnswering.value?.message.value.text.length ?? 0;
  const count = path.length;

  function toEnd(): void {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  }

  function onScroll(): void {
    const element = scroller.current;
    if (!element) return;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    // Up: the reader leaves the end. Content that grew below does not count as that.
    if (element.scrollTop < lastTop.current - 2) following.current = left < endSlackPx;
    else if (left < endSlackPx) following.current = true;
    lastTop.current = element.scrollTop;
    away.value = left > endSlackPx * 4;
  }

  const key = chats.currentId.value;
  const last = path.at(-1)?.message.id ?? "";
  useLayoutEffect(() => {
    following.current = true;
    if (count > 0) toEnd();
    else if (scroller.current) scroller.current.scrollTop = 0;
  }, [key, count, last]);
  useLayoutEffect(() => {
    if (following.current && count > 0) toEnd();
  }, [grown, chats.currentAnswering.value === null]);

  async function onClick(event: MouseEvent): Promise<void> {
    const button = event.target instanceof Element ? event.target.closest(".copy-code") : null;
    if (!button) return;
    const code = button.closest(".code-block")?.querySelector("pre")?.textContent ?? "";
    if (!(await copyText(code))) return;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  return (
    <div class="scroller-frame">
      <div ref={scroller} class="scroller" onScroll={onScroll} onClick={(event) => void onClick(event)}>
        {path.length === 0 ? (
          <Welcome />
        ) : (
          <div class="thread" role="log" aria-live="off" aria-label="Messages">
            {path.map((step, index) =>
              step.message.role === "user" ? (
                <Question key={step.message.id} step={step} editing={editing} />
              ) : (
                <Answer key={step.message.id} step={step} isLast={index === path.length - 1} />
              ),
            )}
          </div>
        )}
      </div>
      {away.value && path.length > 0 && (
        <button type="button" class="to-end" aria-label="Go to the end" onClick={toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}
