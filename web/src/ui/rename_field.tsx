import { useEffect, useRef } from "preact/hooks";
import { useApp } from "./context";

export function RenameField({ id, title, done }: { id: string; title: string; done: () => void }) {
  const { chats } = useApp();
  const field = useRef<HTMLInputElement>(null);
  const given = useRef(false);
  useEffect(() => field.current?.select(), []);

  function end(keep: boolean): void {
    if (given.current) return; // leaving the field after Enter or Esc
    given.current = true;
    if (keep && field.current) chats.rename(id, field.current.value);
    done();
  }

  return (
    <input
      ref={field}
      class="rename"
      aria-label="New title"
      maxLength={200}
      defaultValue={title}
      onBlur={() => end(true)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        end(event.key === "Enter");
      }}
    />
  );
}
