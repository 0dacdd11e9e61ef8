// What comes out of the browser's database was written by this page, by an older version of it, or by somebody with the
// developer tools: a record that is not whole is left out rather than trusted.

import type { Conversation, Message } from "../chat/types";

export function asConversation(value: unknown): Conversation | null {
  if (!isRecord(value) || typeof value.id !== "string" || typeof value.title !== "string") return null;
  if (!isTime(value.created) || !isTime(value.updated)) return null;
  const selected = isRecord(value.selected) ? Object.entries(value.selected).filter((entry) => typeof entry[1] === "string") : [];
  return {
    id: value.id,
    title: value.title,
    created: value.created,
    updated: value.updated,
    system: typeof value.system === "string" ? value.system : null,
    selected: Object.fromEntries(selected) as Record<string, string>,
  };
}

export function asMessage(value: unknown): Message | null {
  if (!isRecord(value) || typeof value.id !== "string" || typeof value.conversation !== "string") return null;
  if (value.parent !== null && typeof value.parent !== "string") return null;
  if (value.role !== "user" && value.role !== "assistant") return null;
  if (typeof value.text !== "string" || !isTime(value.created)) return null;
  const message = { ...value } as unknown as Message;
  if (!["done", "streaming", "stopped", "failed"].includes(message.state)) message.state = "done";
  if (typeof message.thinking !== "string") delete message.thinking;
  if (typeof message.model !== "string") delete message.model;
  if (typeof message.finish !== "string") delete message.finish;
  if (!isRecord(message.stats) || typeof message.stats.tokens !== "number") delete message.stats;
  if (!isRecord(message.failure) || typeof message.failure.message !== "string") delete message.failure;
  return message;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Math.abs(value) <= 8.64e15;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
