// What went wrong with an answer, in words for the person reading and with what they can do about it.

export type FailureKind =
  | "busy" // the server's queue is full or it is still loading: try again later
  | "key" // an API key is missing or wrong
  | "context" // the conversation is longer than the model's context
  | "network" // the server could not be reached
  | "lost" // the connection ended before the answer did
  | "request" // the server refused the request as it is
  | "server"; // the server failed

export interface Failure {
  kind: FailureKind;
  message: string;
  retryAt?: number; // Date.now() at which the server said to try again
}

export class FailureError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

interface ErrorBody {
  message: string;
  code: string;
  type: string;
  param: string;
}

// The error object of OpenAI's API, wherever it stands; text that is none becomes its message.
export function readErrorBody(body: unknown): ErrorBody {
  const asText = (value: unknown) => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");
  if (typeof body === "object" && body !== null) {
    const inner = "error" in body ? body.error : body;
    if (typeof inner === "string") return { message: inner, code: "", type: "", param: "" };
    if (typeof inner === "object" && inner !== null) {
      const fields = inner as Record<string, unknown>;
      return { message: asText(fields.message), code: asText(fields.code), type: asText(fields.type), param: asText(fields.param) };
    }
  }
  return { message: asText(body).slice(0, 500), code: "", type: "", param: "" };
}

// Retry-After in seconds or as a date; null when absent or unreadable.
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null || value.trim() === "") return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return seconds >= 0 ? now + seconds * 1000 : null;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(date, now);
}

export function failureFromStatus(status: number, body: unknown, retryAfter: string | null, now: number): Failure {
  const error = readErrorBody(body);
  const retryAt = parseRetryAfter(retryAfter, now);
  const said = error.message === "" ? "" : ` The server says: ${error.message}`;
  if (status === 429 || status === 503) {
    const message =
      status === 429 || error.code === "rate_limit_exceeded"
        ? "The server is busy with other requests and its queue is full."
        : `The server cannot answer yet.${said}`;
    return retryAt === null ? { kind: "busy", message } : { kind: "busy", message, retryAt };
  }
  if (status === 401 || status === 403) {
    return { kind: "key", message: `The server wants an API key, and the one in the settings is missing or not accepted.${said}` };
  }
  if (isContextError(error)) {
    return {
      kind: "context",
      message: `This conversation has become longer than the model can read at once. Start a new chat, or edit an earlier message to go on from there.${said}`,
    };
  }
  if (status >= 500) return { kind: "server", message: `The server failed (${status}).${said}` };
  return { kind: "request", message: `The server did not accept the request (${status}).${said}` };
}

// An error object that arrives inside a stream, where the HTTP status has long been sent.
export function failureFromStream(body: unknown): Failure {
  const error = readErrorBody(body);
  if (isContextError(error)) return failureFromStatus(400, body, null, 0);
  return { kind: "server", message: `The server broke off the answer.${error.message === "" ? "" : ` It says: ${error.message}`}` };
}

function isContextError(error: ErrorBody): boolean {
  return error.code === "context_length_exceeded" || error.type === "exceed_context_size_error";
}

export const networkFailure: Failure = {
  kind: "network",
  message: "The server could not be reached. Is it still running?",
};

export const lostFailure: Failure = {
  kind: "lost",
  message: "The connection was lost before the answer was complete. What had arrived is kept.",
};
