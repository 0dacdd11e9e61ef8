import { describe, expect, it } from "vitest";
import { failureFromStatus, failureFromStream, parseRetryAfter, readErrorBody } from "./failure";

describe("failureFromStatus", () => {
  it("turns a full queue into a time to try again", () => {
    const failure = failureFromStatus(429, { error: { message: "queue full" } }, "7", 1000);
    expect(failure).toMatchObject({ kind: "busy", retryAt: 8000 });
  });

  it("says in plain words that the context is full, and repeats the server's figures", () => {
    const body = { error: { message: "9000 tokens, context is 8192", code: "context_length_exceeded", param: "messages" } };
    const failure = failureFromStatus(400, body, null, 0);
    expect(failure.kind).toBe("context");
    expect(failure.message).toContain("Start a new chat");
    expect(failure.message).toContain("9000 tokens");
  });

  it("tells a missing key, a refused request and a broken server apart", () => {
    expect(failureFromStatus(401, {}, null, 0).kind).toBe("key");
    expect(failureFromStatus(400, { error: { message: "top_p" } }, null, 0).kind).toBe("request");
    expect(failureFromStatus(500, "oops", null, 0).message).toContain("oops");
    expect(failureFromStatus(503, { error: { message: "Loading model" } }, null, 0).message).toContain("Loading model");
  });
});

it("reads an error inside a stream", () => {
  expect(failureFromStream({ error: { message: "out of blocks" } }).message).toContain("out of blocks");
  expect(failureFromStream({ error: { code: "context_length_exceeded", message: "" } }).kind).toBe("context");
});

it("reads Retry-After in seconds and as a date, and nothing else", () => {
  expect(parseRetryAfter("2", 10)).toBe(2010);
  expect(parseRetryAfter("0.5", 0)).toBe(500);
  expect(parseRetryAfter(new Date(60_000).toUTCString(), 0)).toBe(60_000);
  expect(parseRetryAfter(new Date(0).toUTCString(), 5000)).toBe(5000);
  for (const bad of [null, "", " ", "soon", "-3"]) expect(parseRetryAfter(bad, 0)).toBeNull();
});

it("finds the message in every shape servers use", () => {
  expect(readErrorBody({ error: "plain" }).message).toBe("plain");
  expect(readErrorBody({ message: "bare", code: 503 })).toMatchObject({ message: "bare", code: "503" });
  expect(readErrorBody(null).message).toBe("");
});
