// Times an answer as the browser sees it: first token, speed, number of tokens.

import type { ChatUpdate } from "../api/client";
import type { AnswerStats } from "./types";

export class Stopwatch {
  private readonly started: number;
  private firstAt: number | null = null;
  private lastAt = 0;
  private chunks = 0;
  private usage: NonNullable<ChatUpdate["usage"]> = {};
  private timings: Record<string, number> | null = null;

  // Times are performance.now() milliseconds.
  constructor(now: number) {
    this.started = now;
  }

  take(update: ChatUpdate, now: number): void {
    if (update.text !== "" || update.thinking !== "") {
      this.firstAt ??= now;
      this.lastAt = now;
      this.chunks++;
    }
    if (update.usage) this.usage = { ...this.usage, ...update.usage };
    if (update.timings) this.timings = { ...this.timings, ...update.timings };
  }

  // Until the server has counted, a chunk counts as one token.
  stats(): AnswerStats {
    const counted = this.usage.completionTokens;
    const stats: AnswerStats = { tokens: counted ?? this.chunks, exact: counted !== undefined };
    if (this.usage.promptTokens !== undefined) stats.promptTokens = this.usage.promptTokens;
    if (this.usage.cachedTokens !== undefined) stats.cachedTokens = this.usage.cachedTokens;
    if (this.firstAt !== null) {
      stats.firstTokenMs = this.firstAt - this.started;
      // The first token is prefill's; the speed is that of the ones after it.
      const seconds = (this.lastAt - this.firstAt) / 1000;
      if (this.chunks > 1 && seconds > 0) stats.tokensPerSecond = (stats.tokens - 1) / seconds;
    }
    if (this.timings) stats.server = this.timings;
    return stats;
  }
}

export function formatDuration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function formatSpeed(tokensPerSecond: number): string {
  return `${tokensPerSecond < 100 ? tokensPerSecond.toFixed(1) : Math.round(tokensPerSecond)} tok/s`;
}
