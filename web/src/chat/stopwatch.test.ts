import { describe, expect, it } from "vitest";
import { formatDuration, formatSpeed, Stopwatch } from "./stopwatch";

const text = { text: "x", thinking: "" };
const empty = { text: "", thinking: "" };

describe("Stopwatch", () => {
  it("counts chunks until the server's count comes", () => {
    const watch = new Stopwatch(1000);
    watch.take(empty, 1010); // the role alone is not a token
    watch.take(text, 1080);
    watch.take(text, 1180);
    expect(watch.stats()).toEqual({ tokens: 2, exact: false, firstTokenMs: 80, tokensPerSecond: 10 });
    watch.take({ ...empty, usage: { promptTokens: 7, completionTokens: 5 }, timings: { prefill_ms: 70 } }, 1400);
    expect(watch.stats()).toEqual({
      tokens: 5, exact: true, promptTokens: 7, firstTokenMs: 80, tokensPerSecond: 40, server: { prefill_ms: 70 },
    });
  });

  it("claims no speed for a single token or for all at once", () => {
    const watch = new Stopwatch(0);
    watch.take(text, 5);
    expect(watch.stats().tokensPerSecond).toBeUndefined();
    watch.take(text, 5);
    expect(watch.stats().tokensPerSecond).toBeUndefined();
  });

  it("claims nothing before the first token", () => expect(new Stopwatch(0).stats()).toEqual({ tokens: 0, exact: false }));
});

it("writes durations and speeds short", () => {
  expect([4.26, 84.4, 1234, 15_000, 61_000].map(formatDuration)).toEqual(["4.3 ms", "84 ms", "1.23 s", "15.0 s", "1 min 1 s"]);
  expect([9.26, 161.7].map(formatSpeed)).toEqual(["9.3 tok/s", "162 tok/s"]);
});
