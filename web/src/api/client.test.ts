import { afterEach, describe, expect, it, vi } from "vitest";
import { fetchHealth, fetchModels, readChunk, streamChat, type ChatUpdate } from "./client";
import { FailureError } from "./failure";

function streamOf(pieces: (string | Error)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      const piece = pieces[next++];
      if (piece === undefined) controller.close();
      else if (piece instanceof Error) controller.error(piece);
      else controller.enqueue(encoder.encode(piece));
    },
  });
}

const sent = vi.fn();
function serve(response: () => Response): void {
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    sent(path, init);
    return response();
  });
}
afterEach(() => vi.unstubAllGlobals());

async function collect(signal = new AbortController().signal): Promise<ChatUpdate[]> {
  const updates: ChatUpdate[] = [];
  const request = { model: "m", messages: [{ role: "user" as const, content: "hi" }], sampling: { temperature: 0.5 } };
  for await (const update of streamChat(request, "secret", signal)) updates.push(update);
  return updates;
}

async function failureOf(promise: Promise<unknown>): Promise<FailureError["failure"]> {
  const error: unknown = await promise.then(() => null, (reason: unknown) => reason);
  if (!(error instanceof FailureError)) throw new Error(`expected a failure, got ${String(error)}`);
  return error.failure;
}

const chunk = (content: string) => `data: {"choices":[{"delta":{"content":${JSON.stringify(content)}}}]}\n\n`;
const end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n';

describe("streamChat", () => {
  it("asks for a stream with usage, the sampling set and the key, and yields what arrives", async () => {
    serve(() => new Response(streamOf([chunk("Hel"), `: ping\n\n${chunk("lo")}${end}data: [DO`, "NE]\n\n"])));
    const updates = await collect();
    expect(updates.map((update) => update.text).join("")).toBe("Hello");
    const [path, init] = sent.mock.lastCall as [string, RequestInit];
    expect(path).toBe("/v1/chat/completions");
    expect(init.headers).toMatchObject({ Authorization: "Bearer secret" });
    expect(JSON.parse(init.body as string)).toEqual({
      model: "m",
      messages: [{ role: "user", content: "hi" }],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
    });
  });

  it("takes an answer with a finish reason as complete even when [DONE] is missing", async () => {
    serve(() => new Response(streamOf([chunk("x"), end])));
    expect(await collect()).toHaveLength(2);
  });

  it("calls a stream that just ends, or breaks, lost", async () => {
    serve(() => new Response(streamOf([chunk("x")])));
    expect((await failureOf(collect())).kind).toBe("lost");
    serve(() => new Response(streamOf([chunk("x"), new TypeError("network error")])));
    expect((await failureOf(collect())).kind).toBe("lost");
  });

  it("reports an error inside the stream and one before it", async () => {
    serve(() => new Response(streamOf([chunk("x"), 'data: {"error":{"message":"no blocks"}}\n\n'])));
    expect((await failureOf(collect())).message).toContain("no blocks");
    serve(() => new Response('{"error":{"message":"full"}}', { status: 429, headers: { "Retry-After": "3" } }));
    expect((await failureOf(collect())).kind).toBe("busy");
    serve(() => new Response("<html>bad gateway</html>", { status: 502, headers: { "Content-Type": "text/html" } }));
    expect((await failureOf(collect())).message).not.toContain("<html>");
  });

  it("says that the server cannot be reached", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect((await failureOf(collect())).kind).toBe("network");
  });

  it("leaves a stop by the user as it is", async () => {
    const controller = new AbortController();
    controller.abort();
    vi.stubGlobal("fetch", (_: string, init: RequestInit) => Promise.reject(init.signal?.reason));
    await expect(collect(controller.signal)).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("readChunk", () => {
  it("reads usage and the server's timings", () => {
    const update = readChunk(
      '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8}},"hearth":{"timings":{"prefill_ms":1.5,"note":"x"}}}',
    );
    expect(update).toEqual({
      text: "",
      thinking: "",
      usage: { promptTokens: 9, completionTokens: 4, cachedTokens: 8 },
      timings: { prefill_ms: 1.5 },
    });
  });

  it("stands odd chunks", () => {
    for (const odd of ["{}", '{"choices":[null]}', '{"choices":[{"delta":{"content":null}}],"usage":null,"hearth":[]}']) {
      expect(readChunk(odd)).toEqual({ text: "", thinking: "" });
    }
  });

  it("refuses what is no chunk", () => {
    for (const bad of ["nope", "3", "null", "[]"]) expect(() => readChunk(bad)).toThrow(FailureError);
  });
});

it("lists chat models before embedding models", async () => {
  serve(() => Response.json({ data: [{ id: "minilm", hearth: { can_generate: false } }, { id: "chat" }, { id: 3 }] }));
  expect(await fetchModels("", new AbortController().signal)).toEqual([{ id: "chat", contextLength: 0 }]);
});

it.each([[200, "up"], [503, "loading"], [404, "down"]])("takes /health's %i for %s", async (status, health) => {
  serve(() => new Response("{}", { status }));
  expect(await fetchHealth(new AbortController().signal)).toBe(health);
});

it("takes a server that cannot be reached for down", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
  expect(await fetchHealth(new AbortController().signal)).toBe("down");
});
