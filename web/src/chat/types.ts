// What a conversation is: a tree of messages. Editing a question or asking for another answer adds a sibling, so nothing
// that was written is lost; `selected` says which sibling is shown.

import type { Failure } from "../api/failure";

export type Role = "user" | "assistant";

// `streaming` in the database with nobody writing it means that its page was closed or reloaded.
export type MessageState = "done" | "streaming" | "stopped" | "failed";

export interface AnswerStats {
  tokens: number;
  exact: boolean; // the server's count, rather than one per chunk
  promptTokens?: number;
  cachedTokens?: number; // of the prompt, found in the server's prefix cache
  firstTokenMs?: number; // measured in the browser, from sending the request
  tokensPerSecond?: number; // measured in the browser, over the tokens after the first
  server?: Record<string, number>; // the server's own timings
}

export interface Message {
  id: string;
  conversation: string;
  parent: string | null; // null: the first message of the conversation
  role: Role;
  text: string;
  thinking?: string; // what a reasoning model wrote before its answer
  created: number; // Date.now()
  state: MessageState;
  finish?: string; // OpenAI's finish_reason
  model?: string;
  stats?: AnswerStats;
  failure?: Failure;
}

export interface Conversation {
  id: string;
  title: string; // empty until the first question
  created: number;
  updated: number;
  system: string | null; // null: the default system prompt of the settings
  selected: Record<string, string>; // parent's id ("" for the root) -> the child that is shown
}

export function newId(): string {
  // Not crypto.randomUUID: it is missing where the page is served over plain http from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
