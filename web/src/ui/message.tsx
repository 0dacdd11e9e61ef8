import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { useSignal, type Signal } from "@preact/signals";
import type { PathStep } from "../chat/tree";
import { splitThinking } from "../chat/tree";
import type { Message } from "../chat/types";
import { AnswerEnd } from "./answer_end";
import { useAutoSize } from "./auto_size";
import { copyText } from "./clipboard";
import { useApp } from "./context";
import { Icon } from "./icons";
import { MarkdownBody } from "./markdown_body";

export function Question({ step, editing }: { step: PathStep; editing: Signal<string | null> }) {
  const { chats } = useApp();
  const { message } = step;
  if (editing.value === message.id) {
    return (
      <article class="question is-editing" aria-label="You, being edited">
        <Editor message={message} close={() => (editing.value = null)} />
      </article>
    );
  }
  return (
    <article class="question" aria-label="You">
      <div class="bubble">{message.text}</div>
      <div class="actions">
        <Branches step={step} />
        <CopyButton text={message.text} label="Copy message" />
        <button
          type="button"
          class="icon-button small"
          aria-label="Edit message"
          title="Edit"
          disabled={chats.currentAnswering.value !== null}
          onClick={() => (editing.value = message.id)}
        >
          <Icon name="edit" />
        </button>
      </div>
    </article>
  );
}

function Editor({ message, close }: { message: Message; close: () => void }) {
  const { chats } = useApp();
  const text = useSignal(message.text);
  const field = useRef<HTMLTextAreaElement>(null);
  useAutoSize(field, text.value);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(message.text.length, message.text.length);
  }, []);

  function send(): void {
    const changed = text.value.trim();
    if (changed === "") return;
    close();
    chats.edit(message.id, changed);
  }

  return (
    <div class="editor">
      <textarea
        ref={field}
        aria-label="Edit your message"
        rows={1}
        value={text.value}
        onInput={(event) => (text.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "Escape") close();
          else if (event.key === "Enter" && !event.shiftKey) send();
          else return;
          event.preventDefault();
          event.stopPropagation();
        }}
      />
      <div class="button-row">
        <button type="button" class="button" onClick={close}>Cancel</button>
        <button type="button" class="button is-primary" disabled={text.value.trim() === ""} onClick={send}>Send</button>
      </div>
    </div>
  );
}

export function Answer({ step, isLast }: { step: PathStep; isLast: boolean }) {
  const { chats } = useApp();
  const answering = chats.currentAnswering.value;
  const live = answering?.message.peek().id === step.message.id ? answering : null;
  const message = live ? live.message.value : step.message;
  const split = splitThinking(message.text);
  const thinking = [message.thinking ?? "", split.thinking].filter((part) => part !== "").join("\n\n");
  const isThinking = live !== null && split.answer === "";
  return (
    <article class={isLast ? "answer is-last" : "answer"} aria-label="Answer" aria-busy={live !== null}>
      {thinking !== "" && (
        <details class="thinking">
          <summary>{isThinking ? "Thinking\u2026" : "Reasoning"}</summary>
          <MarkdownBody text={thinking} live={isThinking} />
        </details>
      )}
      {isThinking && thinking === "" && <Waiting until={live.waitingUntil} />}
      {split.answer !== "" && <MarkdownBody text={split.answer} live={live !== null} />}
      <AnswerEnd message={message} live={live !== null} isLast={isLast}>
        {live === null && (
          <div class="actions">
            <Branches step={step} />
            {split.answer !== "" && <CopyButton text={split.answer} label="Copy answer" />}
            <button
              type="button"
              class="icon-button small"
              aria-label="Answer again"
              title="Answer again"
              disabled={answering !== null}
              onClick={() => chats.regenerate(message.id)}
            >
              <Icon name="again" />
            </button>
          </div>
        )}
      </AnswerEnd>
    </article>
  );
}

function Waiting({ until }: { until: Signal<number | null> }) {
  const seconds = useCountdown(until.value);
  if (until.value !== null) {
    return <p class="waiting-note" role="status">The server is busy. Trying again in {seconds}&nbsp;s.</p>;
  }
  return (
    <div class="waiting" role="img" aria-label="Waiting for the answer">
      <span />
      <span />
      <span />
    </div>
  );
}

// Whole seconds until `time` (Date.now()), counted down.
export function useCountdown(time: number | null): number {
  const now = useSignal(Date.now());
  useEffect(() => {
    if (time === null) return;
    now.value = Date.now();
    const timer = setInterval(() => (now.value = Date.now()), 250);
    return () => clearInterval(timer);
  }, [time]);
  return time === null ? 0 : Math.max(0, Math.ceil((time - now.value) / 1000));
}

// < 2/3 >
function Branches({ step }: { step: PathStep }) {
  const { chats } = useApp();
  const { siblings, message } = step;
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message.id);
  const busy = chats.currentAnswering.value !== null;
  const go = (to: number) => {
    const id = siblings[to];
    if (id !== undefined) chats.choose(id);
  };
  return (
    <div class="branches" role="group" aria-label="Versions">
      <button type="button" class="icon-button small" aria-label="Earlier version" disabled={at === 0 || busy} onClick={() => go(at - 1)}>
        <Icon name="left" />
      </button>
      <span>
        <span class="visually-hidden">Version </span>
        {at + 1}/{siblings.length}
      </span>
      <button type="button" class="icon-button small" aria-label="Later version" disabled={at === siblings.length - 1 || busy} onClick={() => go(at + 1)}>
        <Icon name="right" />
      </button>
    </div>
  );
}

const copiedMs = 1500;

function CopyButton({ text, label }: { text: string; label: string }) {
  const { spoken } = useApp();
  const copied = useSignal(false);
  async function copy(): Promise<void> {
    if (!(await copyText(text))) return;
    copied.value = true;
    spoken.value = "Copied.";
    setTimeout(() => (copied.value = false), copiedMs);
  }
  return (
    <button type="button" class="icon-button small" aria-label={label} title="Copy" onClick={() => void copy()}>
      <Icon name={copied.value ? "check" : "copy"} />
    </button>
  );
}
