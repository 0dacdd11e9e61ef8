import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { useAutoSize } from "./auto_size";
import { useApp, type App } from "./context";
import { Icon } from "./icons";

export function Composer({ editLast }: { editLast: () => void }) {
  const app = useApp();
  const key = app.chats.currentId.value ?? "";
  const text = useSignal(app.drafts.get(key) ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  const answering = app.chats.currentAnswering.value;
  useAutoSize(field, text.value);
  useEffect(() => {
    text.value = app.drafts.get(key) ?? "";
  }, [key]);

  function write(next: string): void {
    text.value = next;
    app.drafts.set(key, next);
  }

  function send(): void {
    const message = text.value.trim();
    if (message === "" || answering) return;
    write("");
    app.chats.send(message);
    field.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.isComposing) return; // an input method takes Enter for its own
    if (event.key === "Enter" && !event.shiftKey) send();
    else if (event.key === "ArrowUp" && text.value === "" && !answering) editLast();
    else return;
    event.preventDefault();
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div class="composer-box">
        <textarea
          ref={field}
          id="composer-text"
          rows={1}
          placeholder="Write a message"
          aria-label="Message"
          value={text.value}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <div class="composer-row">
          <button type="button" class="pill" onClick={() => (app.dialog.value = "settings")}>
            <Icon name="settings" />
            <span>{settingsSummary(app)}</span>
          </button>
          <ContextUse />
          {answering ? (
            <button type="button" class="send is-stop" aria-label="Stop the answer" title="Stop (Esc)" onClick={() => app.chats.stop()}>
              <Icon name="stop" />
            </button>
          ) : (
            <button type="submit" class="send" aria-label="Send" title="Send (Enter)" disabled={text.value.trim() === ""}>
              <Icon name="up" />
            </button>
          )}
        </div>
      </div>
      <p class="composer-hint">
        <span class="only-wide">Enter sends, Shift+Enter starts a new line. </span>Answers can be wrong.
      </p>
    </form>
  );
}

// What of the settings shapes the next answer.
function settingsSummary({ chats, settings }: App): string {
  const current = chats.current.value;
  const system = (current ? current.system : chats.newSystem.value) ?? settings.value.system;
  const { temperature, ...others } = settings.value.sampling;
  const parts = [];
  if (temperature !== undefined) parts.push(`Temperature ${temperature}`);
  else if (Object.keys(others).length > 0) parts.push("Own sampling");
  if (system.trim() !== "") parts.push("System prompt");
  return parts.join(", ") || "Settings";
}

// How much of the model's context the conversation fills, where the server tells.
function ContextUse() {
  const { chats, monitor, model } = useApp();
  const length = monitor.models.value.find((item) => item.id === model())?.contextLength ?? 0;
  const stats = chats.path.value.findLast((step) => step.message.stats?.exact)?.message.stats;
  if (length === 0 || stats?.promptTokens === undefined) return <span class="context-use" />;
  const used = stats.promptTokens + stats.tokens;
  return (
    <span class={used > length * 0.9 ? "context-use is-full" : "context-use"} title="Tokens of the conversation, of those that the model can read at once">
      {used.toLocaleString("en")} / {length.toLocaleString("en")} tokens
    </span>
  );
}
