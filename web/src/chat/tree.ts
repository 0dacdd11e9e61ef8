// Pure questions about a conversation's tree of messages.

import type { Conversation, Message } from "./types";

type Messages = ReadonlyMap<string, Message>;
type Selected = Conversation["selected"];

// The children of `parent` (null: the root), oldest first.
export function children(messages: Messages, parent: string | null): Message[] {
  const found = [...messages.values()].filter((message) => message.parent === parent);
  return found.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

export interface PathStep {
  message: Message;
  siblings: string[]; // ids, itself included, oldest first
}

// The messages shown, from the first down: at each fork the selected child, else the newest.
export function shownPath(messages: Messages, selected: Selected): PathStep[] {
  const byParent = new Map<string | null, Message[]>();
  for (const message of messages.values()) {
    const group = byParent.get(message.parent);
    if (group) group.push(message);
    else byParent.set(message.parent, [message]);
  }
  const path: PathStep[] = [];
  const seen = new Set<string>(); // an imported file may hold a cycle
  let parent: string | null = null;
  for (;;) {
    const group = (byParent.get(parent) ?? []).sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
    const wanted: string | undefined = selected[parent ?? ""];
    const message: Message | undefined = group.find((child) => child.id === wanted) ?? group.at(-1);
    if (!message || seen.has(message.id)) return path;
    seen.add(message.id);
    path.push({ message, siblings: group.map((child) => child.id) });
    parent = message.id;
  }
}

// From the root down to `id` itself; empty when `id` is unknown.
export function pathTo(messages: Messages, id: string | null): Message[] {
  const path: Message[] = [];
  for (let at = id; at !== null && path.length <= messages.size; ) {
    const message = messages.get(at);
    if (!message) return [];
    path.unshift(message);
    at = message.parent;
  }
  return path;
}

export function select(selected: Selected, message: Pick<Message, "id" | "parent">): Selected {
  return { ...selected, [message.parent ?? ""]: message.id };
}

// A title from the first line of the first question, cut at a word.
export function titleFrom(text: string, maxLength = 60): string {
  const line = text.split("\n").map((part) => part.replace(/\s+/g, " ").trim()).find((part) => part !== "") ?? "";
  const characters = [...line];
  if (characters.length <= maxLength) return line;
  const cut = characters.slice(0, maxLength).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > maxLength / 2 ? cut.slice(0, space) : cut}\u2026`;
}

export interface RequestMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

// What is sent to the model for an answer below `parent`. Empty answers are left out, reasoning too: templates expect
// neither.
export function requestMessages(messages: Messages, parent: string, system: string): RequestMessage[] {
  const sent: RequestMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const message of pathTo(messages, parent)) {
    const content = message.role === "assistant" ? splitThinking(message.text).answer : message.text;
    if (content !== "") sent.push({ role: message.role, content });
  }
  return sent;
}

export interface ThinkingSplit {
  thinking: string;
  answer: string;
  open: boolean; // still thinking: the end mark has not come
}

// Reasoning models write <think>...</think> before their answer.
export function splitThinking(text: string): ThinkingSplit {
  const start = /^\s*<think>/.exec(text);
  if (!start) return { thinking: "", answer: text, open: false };
  const from = start[0].length;
  const end = text.indexOf("</think>", from);
  if (end === -1) return { thinking: text.slice(from).trim(), answer: "", open: true };
  return { thinking: text.slice(from, end).trim(), answer: text.slice(end + "</think>".length).trimStart(), open: false };
}
