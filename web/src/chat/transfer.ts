// Conversations as files: JSON that can be imported again, and Markdown to read. A file is somebody else's until it has been
// checked field by field.

import { newId, type AnswerStats, type Conversation, type Message } from "./types";
import { select, shownPath, splitThinking, titleFrom } from "./tree";

export interface Archive {
  conversation: Conversation;
  messages: Message[];
}

const format = "hearth-conversations";
const maxMessages = 100_000;

export function toJson(archives: Archive[], now: number): string {
  const conversations = archives.map(({ conversation, messages }) => ({
    ...conversation,
    messages: messages.map(({ conversation: _, ...message }) => message),
  }));
  return JSON.stringify({ format, version: 1, exported: new Date(now).toISOString(), conversations }, null, 2);
}

// The branch that is shown, as a document.
export function toMarkdown({ conversation, messages }: Archive): string {
  const parts = [`# ${conversation.title || "Untitled"}`];
  if (conversation.system) parts.push(`> **System prompt:** ${conversation.system.replaceAll("\n", "\n> ")}`);
  for (const { message } of shownPath(new Map(messages.map((item) => [item.id, item])), conversation.selected)) {
    if (message.role === "user") parts.push("## You", message.text);
    else parts.push(`## ${message.model ?? "Assistant"}`, splitThinking(message.text).answer.trim());
  }
  return `${parts.join("\n\n")}\n`;
}

// A name that every file system takes.
export function fileName(title: string, extension: string): string {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${[...name].slice(0, 60).join("") || "conversation"}.${extension}`;
}

export class ImportError extends Error {}

// Reads what toJson wrote, or a plain list of {role, content} messages. Every id is replaced, so that importing a file
// twice gives two copies and never overwrites.
export function fromJson(text: string, now: number): Archive[] {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw new ImportError("The file is not JSON.");
  }
  const asList = Array.isArray(data) ? data : isRecord(data) && Array.isArray(data.messages) ? data.messages : null;
  if (asList && asList.every((item) => isRecord(item) && typeof item.content === "string")) {
    return [fromMessageList(asList as Record<string, unknown>[], now)];
  }
  if (!isRecord(data) || data.format !== format || !Array.isArray(data.conversations)) {
    throw new ImportError("The file holds no Hearth conversations.");
  }
  if (data.version !== 1) throw new ImportError(`The file's version is ${String(data.version)}; this page reads version 1.`);
  return data.conversations.map((item: unknown, index) => fromRecord(item, index, now));
}

function fromMessageList(list: Record<string, unknown>[], now: number): Archive {
  const conversation: Conversation = { id: newId(), title: "", created: now, updated: now, system: null, selected: {} };
  const messages: Message[] = [];
  for (const { role, content } of list) {
    const text = content as string;
    if (role === "system" || role === "developer") conversation.system = text;
    if (role !== "user" && role !== "assistant") continue;
    const parent = messages.at(-1)?.id ?? null;
    messages.push({ id: newId(), conversation: conversation.id, parent, role, text, created: now + messages.length, state: "done" });
  }
  if (messages.length === 0) throw new ImportError("The file holds no messages.");
  conversation.title = titleFrom(messages.find((message) => message.role === "user")?.text ?? "") || "Imported";
  return { conversation, messages };
}

function fromRecord(item: unknown, index: number, now: number): Archive {
  const where = `Conversation ${index + 1}`;
  if (!isRecord(item) || !Array.isArray(item.messages)) throw new ImportError(`${where} has no messages.`);
  if (item.messages.length > maxMessages) throw new ImportError(`${where} has more than ${maxMessages} messages.`);
  const conversation: Conversation = {
    id: newId(),
    title: typeof item.title === "string" && item.title.trim() !== "" ? item.title.slice(0, 200) : "Imported",
    created: timeOr(item.created, now),
    updated: timeOr(item.updated, now),
    system: typeof item.system === "string" ? item.system : null,
    selected: {},
  };

  const newIds = new Map<string, string>();
  for (const message of item.messages) {
    if (!isRecord(message) || typeof message.id !== "string") throw new ImportError(`${where} has a message without an id.`);
    if (newIds.has(message.id)) throw new ImportError(`${where} has two messages with the id ${message.id.slice(0, 40)}.`);
    newIds.set(message.id, newId());
  }
  const messages = (item.messages as Record<string, unknown>[]).map((message) => readMessage(message, conversation.id, newIds, where, now));
  for (const message of Object.values(isRecord(item.selected) ? item.selected : {})) {
    const chosen = messages.find((candidate) => candidate.id === newIds.get(String(message)));
    if (chosen) conversation.selected = select(conversation.selected, chosen);
  }
  return { conversation, messages };
}

function readMessage(from: Record<string, unknown>, conversation: string, newIds: Map<string, string>, where: string, now: number): Message {
  const parent = from.parent === null ? null : newIds.get(String(from.parent));
  if (parent === undefined) throw new ImportError(`${where} has a message whose parent is missing.`);
  if (from.role !== "user" && from.role !== "assistant") throw new ImportError(`${where} has a message of the role ${String(from.role).slice(0, 40)}.`);
  if (typeof from.text !== "string") throw new ImportError(`${where} has a message without text.`);
  const message: Message = {
    id: newIds.get(String(from.id)) ?? newId(),
    conversation,
    parent,
    role: from.role,
    text: from.text,
    created: timeOr(from.created, now),
    state: from.state === "stopped" || from.state === "streaming" || from.state === "failed" ? "stopped" : "done",
  };
  if (typeof from.thinking === "string") message.thinking = from.thinking;
  if (typeof from.finish === "string") message.finish = from.finish;
  if (typeof from.model === "string") message.model = from.model.slice(0, 200);
  const stats = readStats(from.stats);
  if (stats) message.stats = stats;
  return message;
}

function readStats(from: unknown): AnswerStats | null {
  if (!isRecord(from) || typeof from.tokens !== "number") return null;
  const stats: AnswerStats = { tokens: from.tokens, exact: from.exact === true };
  for (const key of ["promptTokens", "cachedTokens", "firstTokenMs", "tokensPerSecond"] as const) {
    const value = from[key];
    if (typeof value === "number" && Number.isFinite(value)) stats[key] = value;
  }
  return stats;
}

function timeOr(value: unknown, now: number): number {
  // The largest time that a Date can hold.
  return typeof value === "number" && Math.abs(value) <= 8.64e15 ? value : now;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
