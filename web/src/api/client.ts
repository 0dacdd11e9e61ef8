// The server's API as the page uses it. Every failure leaves as a FailureError, a stop by the user as an AbortError.

import type { RequestMessage } from "../chat/tree";
import { failureFromStatus, failureFromStream, FailureError, lostFailure, networkFailure } from "./failure";
import { SseParser } from "./sse";

export interface ChatRequest {
  model: string;
  messages: RequestMessage[];
  sampling: Record<string, number>;
}

// What one chunk of a stream adds.
export interface ChatUpdate {
  text: string;
  thinking: string;
  finish?: string;
  usage?: { promptTokens?: number; completionTokens?: number; cachedTokens?: number };
  timings?: Record<string, number>; // the server's own, from its `hearth` object
}

export interface ModelInfo {
  id: string;
  contextLength: number; // 0: the server does not say
}

// `loading`: it answers, but not yet with a model.
export type Health = "up" | "loading" | "down";

function headers(key: string): Record<string, string> {
  return key === "" ? {} : { Authorization: `Bearer ${key}` };
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, cache: "no-store", credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new FailureError(networkFailure);
  }
  if (response.ok) return response;
  let body: unknown = await response.text().catch(() => "");
  try {
    body = JSON.parse(body as string);
  } catch {
    // A proxy's HTML page says nothing to the reader.
    if (!response.headers.get("Content-Type")?.startsWith("text/plain")) body = "";
  }
  throw new FailureError(failureFromStatus(response.status, body, response.headers.get("Retry-After"), Date.now()));
}

// The answer, piece by piece. Ends normally only when the server said that the answer is complete.
export async function* streamChat(request: ChatRequest, key: string, signal: AbortSignal): AsyncGenerator<ChatUpdate> {
  const body = { model: request.model, messages: request.messages, stream: true, stream_options: { include_usage: true }, ...request.sampling };
  const response = await send("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers(key) },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body?.getReader();
  if (!reader) throw new FailureError(lostFailure);
  const decoder = new TextDecoder();
  const parser = new SseParser();
  let finished = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (const { data } of parser.push(decoder.decode(value, { stream: true }))) {
        if (data === "[DONE]") return;
        const update = readChunk(data);
        if (update.finish !== undefined) finished = true;
        yield update;
      }
    }
  } catch (error) {
    if (signal.aborted || error instanceof FailureError) throw error;
    throw new FailureError(lostFailure);
  } finally {
    // Also when the caller stopped reading: the server then stops computing.
    reader.cancel().catch(() => {});
  }
  if (!finished) throw new FailureError(lostFailure);
}

// Throws a FailureError for an error object and for what is not a chunk at all.
export function readChunk(data: string): ChatUpdate {
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new FailureError({ kind: "server", message: "The server sent something that is not an answer." });
  }
  if (!isRecord(chunk)) throw new FailureError({ kind: "server", message: "The server sent something that is not an answer." });
  if (chunk.error) throw new FailureError(failureFromStream(chunk));

  const update: ChatUpdate = { text: "", thinking: "" };
  const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  if (isRecord(choice)) {
    if (isRecord(choice.delta)) {
      if (typeof choice.delta.content === "string") update.text = choice.delta.content;
      if (typeof choice.delta.reasoning_content === "string") update.thinking = choice.delta.reasoning_content;
    }
    if (typeof choice.finish_reason === "string") update.finish = choice.finish_reason;
  }
  if (isRecord(chunk.usage)) {
    const details = isRecord(chunk.usage.prompt_tokens_details) ? chunk.usage.prompt_tokens_details : {};
    update.usage = {
      ...numberField("promptTokens", chunk.usage.prompt_tokens),
      ...numberField("completionTokens", chunk.usage.completion_tokens),
      ...numberField("cachedTokens", details.cached_tokens),
    };
  }
  if (isRecord(chunk.hearth)) {
    const timings = isRecord(chunk.hearth.timings) ? chunk.hearth.timings : chunk.hearth;
    const numbers = Object.entries(timings).filter((entry): entry is [string, number] => typeof entry[1] === "number");
    if (numbers.length > 0) update.timings = Object.fromEntries(numbers);
  }
  return update;
}

// The models that can chat: embedding models are left out where the server marks them.
export async function fetchModels(key: string, signal: AbortSignal): Promise<ModelInfo[]> {
  const body: unknown = await (await send("/v1/models", { headers: headers(key), signal })).json();
  const list: unknown[] = isRecord(body) && Array.isArray(body.data) ? body.data : [];
  const models = list.filter(isRecord).filter((model) => typeof model.id === "string");
  const chat = models.filter((model) => !(isRecord(model.hearth) && model.hearth.can_generate === false));
  return (chat.length > 0 ? chat : models).map((model) => {
    const extra = isRecord(model.hearth) ? model.hearth : {};
    const length = extra.context_length ?? model.context_length ?? model.max_model_len;
    return { id: model.id as string, contextLength: typeof length === "number" ? length : 0 };
  });
}

// Never throws: a server that cannot be reached is down.
export async function fetchHealth(signal: AbortSignal): Promise<Health> {
  try {
    const response = await fetch("/health", { cache: "no-store", credentials: "same-origin", redirect: "error", signal });
    if (response.ok) return "up";
    return response.status === 503 ? "loading" : "down";
  } catch {
    return "down";
  }
}

function numberField<Name extends string>(name: Name, value: unknown): Partial<Record<Name, number>> {
  return typeof value === "number" ? ({ [name]: value } as Record<Name, number>) : {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
