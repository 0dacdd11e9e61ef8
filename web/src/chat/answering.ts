// One answer on its way: asks the server, collects what arrives, waits and asks again while the server is busy.

import { signal, type Signal } from "@preact/signals";
import type { ChatRequest, ChatUpdate } from "../api/client";
import { FailureError, type Failure } from "../api/failure";
import { Stopwatch } from "./stopwatch";
import type { Message } from "./types";

export type Ask = (request: ChatRequest, signal: AbortSignal) => AsyncIterable<ChatUpdate>;

export interface AnsweringOptions {
  ask: Ask;
  // Text is shown and saved in steps, not with each piece: a fast model sends hundreds in a second.
  showEveryMs: number;
  saveEveryMs: number;
  save: (message: Message) => void;
}

// The server is asked this often while it says that it is busy; then the user decides.
const maxTries = 5;
const maxWaitMs = 60_000;

export class Answering {
  readonly message: Signal<Message>;
  readonly waitingUntil = signal<number | null>(null); // Date.now() of the next try
  readonly done: Promise<Message>;
  private readonly controller = new AbortController();
  private readonly options: AnsweringOptions;
  private pending: Message;
  private showTimer: ReturnType<typeof setTimeout> | null = null;
  private savedAt: number;
  private dropped = false;

  constructor(message: Message, request: ChatRequest, options: AnsweringOptions) {
    this.message = signal(message);
    this.pending = message;
    this.options = options;
    this.savedAt = performance.now();
    this.done = this.run(request);
  }

  stop(): void {
    this.controller.abort();
  }

  // Stops, and saves nothing any more: the conversation is gone.
  drop(): void {
    this.dropped = true;
    this.stop();
  }

  private async run(request: ChatRequest): Promise<Message> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.attempt(request);
        return this.finish({ state: "done" });
      } catch (error) {
        if (this.controller.signal.aborted) return this.finish({ state: "stopped" });
        const failure: Failure = error instanceof FailureError ? error.failure : { kind: "server", message: `The page failed: ${String(error)}` };
        const wait = failure.kind === "busy" ? waitFor(failure, attempt) : null;
        if (wait === null) return this.finish({ state: "failed", failure });
        await this.pause(wait);
        if (this.controller.signal.aborted) return this.finish({ state: "stopped" });
      }
    }
  }

  private async attempt(request: ChatRequest): Promise<void> {
    const watch = new Stopwatch(performance.now());
    for await (const update of this.options.ask(request, this.controller.signal)) {
      const now = performance.now();
      watch.take(update, now);
      const next: Message = { ...this.pending, text: this.pending.text + update.text, stats: watch.stats() };
      if (update.thinking !== "") next.thinking = (next.thinking ?? "") + update.thinking;
      if (update.finish !== undefined) next.finish = update.finish;
      this.pending = next;
      this.showTimer ??= setTimeout(() => this.show(), this.options.showEveryMs);
      if (now - this.savedAt >= this.options.saveEveryMs) this.save();
    }
  }

  private show(): void {
    if (this.showTimer !== null) clearTimeout(this.showTimer);
    this.showTimer = null;
    this.message.value = this.pending;
  }

  private save(): void {
    this.savedAt = performance.now();
    if (!this.dropped) this.options.save(this.pending);
  }

  private finish(end: Pick<Message, "state" | "failure">): Message {
    this.pending = { ...this.pending, ...end };
    this.show();
    this.save();
    return this.pending;
  }

  private pause(ms: number): Promise<void> {
    this.waitingUntil.value = Date.now() + ms;
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.waitingUntil.value = null;
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.controller.signal.addEventListener("abort", end, { once: true });
    });
  }
}

// How long to wait before the next try: what the server said, else longer each time. Null: no further try.
function waitFor(failure: Failure, attempt: number): number | null {
  if (attempt >= maxTries) return null;
  const said = failure.retryAt === undefined ? null : failure.retryAt - Date.now();
  const wait = said ?? 1000 * 2 ** (attempt - 1);
  return wait > maxWaitMs ? null : Math.max(wait, 200);
}
