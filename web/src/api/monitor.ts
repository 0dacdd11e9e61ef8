// Whether the server is there, and which models it has. Asks every few seconds while the page is visible.

import { signal } from "@preact/signals";
import { fetchHealth, fetchModels, type ModelInfo } from "./client";
import { FailureError } from "./failure";

export type ServerState = "checking" | "up" | "loading" | "down" | "key"; // key: it wants one

const calmMs = 20_000;
const anxiousMs = 2_500;

export class Monitor {
  readonly state = signal<ServerState>("checking");
  readonly models = signal<ModelInfo[]>([]);
  private readonly key: () => string;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private turn = 0;

  constructor(key: () => string) {
    this.key = key;
  }

  start(): void {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") void this.check();
    });
    window.addEventListener("online", () => void this.check());
    void this.check();
  }

  async check(): Promise<void> {
    const turn = ++this.turn;
    if (this.timer !== null) clearTimeout(this.timer);
    const state = await this.look(AbortSignal.timeout(10_000));
    if (turn !== this.turn) return;
    this.state.value = state;
    this.timer = setTimeout(() => {
      if (document.visibilityState === "visible") void this.check();
    }, state === "up" ? calmMs : anxiousMs);
  }

  private async look(signal: AbortSignal): Promise<ServerState> {
    const health = await fetchHealth(signal);
    if (health === "down") return "down";
    try {
      this.models.value = await fetchModels(this.key(), signal);
      return this.models.value.length === 0 ? "loading" : health;
    } catch (error) {
      const kind = error instanceof FailureError ? error.failure.kind : "server";
      return kind === "key" ? "key" : kind === "busy" ? "loading" : "down";
    }
  }
}
