// What stands under an answer: how it ended, its figures, its buttons.

import type { ComponentChildren } from "preact";
import type { Failure } from "../api/failure";
import { formatDuration, formatSpeed } from "../chat/stopwatch";
import type { AnswerStats, Message } from "../chat/types";
import { useApp } from "./context";
import { Icon } from "./icons";
import { newChat } from "./shortcuts";

interface Props {
  message: Message;
  live: boolean;
  isLast: boolean;
  children: ComponentChildren; // the buttons
}

export function AnswerEnd({ message, live, isLast, children }: Props) {
  const note = live ? null : endNote(message);
  return (
    <>
      {!live && message.failure && <FailureCard failure={message.failure} message={message} isLast={isLast} />}
      {note && <p class="end-note">{note}</p>}
      <div class="answer-foot">
        {children}
        {message.stats && message.stats.tokens > 0 && <Stats stats={message.stats} model={message.model ?? ""} />}
      </div>
    </>
  );
}

function endNote(message: Message): string | null {
  if (message.state === "stopped") return "Stopped.";
  if (message.state !== "done") return null;
  if (message.finish === "length") return "Cut off: the answer reached its longest length or the end of the model's context.";
  return message.text === "" && !message.thinking ? "The model answered with nothing." : null;
}

function Stats({ stats, model }: { stats: AnswerStats; model: string }) {
  const parts: [kind: string, text: string, title: string][] = [];
  if (stats.tokensPerSecond !== undefined) parts.push(["speed", formatSpeed(stats.tokensPerSecond), "Tokens per second after the first, as they reached this page"]);
  if (stats.firstTokenMs !== undefined) parts.push(["first", `${formatDuration(stats.firstTokenMs)} to first token`, "From sending the message to the first piece of the answer"]);
  const count = `${stats.exact ? "" : "~"}${stats.tokens.toLocaleString("en")} ${stats.tokens === 1 ? "token" : "tokens"}`;
  parts.push(["tokens", count, promptTitle(stats)]);
  return (
    <p class="stats">
      {parts.map(([kind, text, title]) => (
        <span key={kind} class={`stat-${kind}`} title={title}>{text}</span>
      ))}
      {model !== "" && <span class="stat-model">{model}</span>}
    </p>
  );
}

function promptTitle(stats: AnswerStats): string {
  if (!stats.exact) return "Counted in pieces, because the server's count did not come";
  if (stats.promptTokens === undefined) return "";
  const cached = stats.cachedTokens ? `, ${stats.cachedTokens} of them already in the server's memory` : "";
  return `After a prompt of ${stats.promptTokens} tokens${cached}`;
}

function FailureCard({ failure, message, isLast }: { failure: Failure; message: Message; isLast: boolean }) {
  const app = useApp();
  const again = () => app.chats.regenerate(message.id);
  return (
    <div class="failure" role="alert">
      <Icon name="warn" />
      <div>
        <p>{failure.message}</p>
        {isLast && (
          <div class="button-row">
            {failure.kind === "key" && (
              <button type="button" class="button is-primary" onClick={() => (app.dialog.value = "settings")}>Enter the key</button>
            )}
            {failure.kind === "context" && (
              <button type="button" class="button is-primary" onClick={() => newChat(app)}>New chat</button>
            )}
            <button type="button" class="button" onClick={again}>Try again</button>
          </div>
        )}
      </div>
    </div>
  );
}
