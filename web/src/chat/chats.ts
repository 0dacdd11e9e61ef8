// The conversations of this browser and everything that can be done with them. The screen shows the signals; the store is
// written behind them, and a write that fails is reported once and never loses what is on the screen.

import { batch, computed, signal } from "@preact/signals";
import { StoreError, readArchives, type Store } from "../store/store";
import { Answering, type Ask } from "./answering";
import type { Archive } from "./transfer";
import { requestMessages, select, shownPath, titleFrom } from "./tree";
import { newId, type Conversation, type Message } from "./types";

export interface ChatDefaults {
  model: string;
  system: string;
  sampling: Record<string, number>;
}

export interface ChatsOptions {
  store: Store;
  ask: Ask;
  defaults: () => ChatDefaults;
  problem: (message: string) => void;
  // Told after each write, so that other tabs can read it.
  changed?: (conversation: string) => void;
  showEveryMs?: number;
  saveEveryMs?: number;
}

export interface Match {
  conversation: Conversation;
  excerpt: string; // around the first match in a message; empty when only the title matches
}

const noMessages: ReadonlyMap<string, Message> = new Map();

export class Chats {
  readonly list = signal<Conversation[]>([]); // newest first
  readonly currentId = signal<string | null>(null); // null: a new conversation, not yet begun
  readonly messages = signal<ReadonlyMap<string, Message>>(noMessages); // of the current conversation
  readonly answering = signal<ReadonlyMap<string, Answering>>(new Map()); // by conversation
  readonly newSystem = signal<string | null>(null); // the system prompt of the conversation not yet begun
  readonly current = computed(() => this.list.value.find((item) => item.id === this.currentId.value) ?? null);
  readonly path = computed(() => shownPath(this.messages.value, this.current.value?.selected ?? {}));
  readonly currentAnswering = computed(() => this.answering.value.get(this.currentId.value ?? "") ?? null);
  private readonly options: ChatsOptions;
  private opening = 0;
  private lastTime = 0;

  constructor(options: ChatsOptions) {
    this.options = options;
  }

  async load(): Promise<void> {
    try {
      this.list.value = sorted(await this.options.store.conversations());
    } catch (error) {
      this.report(error);
    }
  }

  async open(id: string | null): Promise<void> {
    const turn = ++this.opening;
    let loaded: Message[] = [];
    if (id !== null) {
      if (!this.list.value.some((item) => item.id === id)) id = null;
      else {
        try {
          loaded = await this.options.store.messages(id);
        } catch (error) {
          this.report(error);
        }
      }
    }
    if (turn !== this.opening) return; // another one was opened meanwhile
    const live = this.answering.peek().get(id ?? "");
    const messages = loaded.map((message) => {
      if (message.state !== "streaming" || message.id === live?.message.peek().id) return message;
      return { ...message, state: "stopped" as const }; // its page was closed
    });
    batch(() => {
      this.currentId.value = id;
      this.messages.value = new Map(messages.map((message) => [message.id, message]));
    });
  }

  // A question at the end of the branch that is shown; begins a conversation where there is none.
  send(text: string): void {
    this.ask(this.path.peek().at(-1)?.message.id ?? null, text);
  }

  // The same question in other words: a branch beside it.
  edit(id: string, text: string): void {
    const message = this.messages.peek().get(id);
    if (message) this.ask(message.parent, text);
  }

  // Another answer beside this one.
  regenerate(id: string): void {
    const message = this.messages.peek().get(id);
    if (message?.role === "assistant" && message.parent !== null) this.answer(message.parent);
    else if (message?.role === "user") this.answer(message.id);
  }

  stop(): void {
    this.currentAnswering.peek()?.stop();
  }

  // Shows this message at its fork.
  choose(id: string): void {
    const message = this.messages.peek().get(id);
    const current = this.current.peek();
    if (message && current) this.update({ ...current, selected: select(current.selected, message) });
  }

  rename(id: string, title: string): void {
    const found = this.list.peek().find((item) => item.id === id);
    const name = title.replace(/\s+/g, " ").trim().slice(0, 200);
    if (found && name !== "" && name !== found.title) this.update({ ...found, title: name });
  }

  // Null: the default of the settings.
  setSystem(system: string | null): void {
    const current = this.current.peek();
    if (current) this.update({ ...current, system });
    else this.newSystem.value = system;
  }

  // What was removed, so that it can be restored.
  async remove(id: string): Promise<Archive | null> {
    const found = this.list.peek().find((item) => item.id === id);
    if (!found) return null;
    this.answering.peek().get(id)?.drop();
    try {
      const [archive] = await readArchives(this.options.store, [found]);
      await this.options.store.remove(id);
      this.forget(id);
      this.options.changed?.(id);
      return archive ?? null;
    } catch (error) {
      this.report(error);
      return null;
    }
  }

  // False when the store refused them.
  async add(archives: Archive[]): Promise<boolean> {
    try {
      await this.options.store.put(archives.map((item) => item.conversation), archives.flatMap((item) => item.messages));
    } catch (error) {
      this.report(error);
      return false;
    }
    const added = new Set(archives.map((item) => item.conversation.id));
    this.list.value = sorted([...this.list.peek().filter((item) => !added.has(item.id)), ...archives.map((item) => item.conversation)]);
    for (const id of added) this.options.changed?.(id);
    return true;
  }

  archives(ids: string[]): Promise<Archive[]> {
    return readArchives(this.options.store, this.list.peek().filter((item) => ids.includes(item.id)));
  }

  // Conversations in which every word occurs, in the title or in one of the messages.
  async search(query: string): Promise<Match[]> {
    const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const list = this.list.peek();
    if (words.length === 0) return list.map((conversation) => ({ conversation, excerpt: "" }));
    const has = (text: string) => words.every((word) => text.includes(word));
    const found = new Map<string, string>();
    for (const { title, id } of list) if (has(title.toLowerCase())) found.set(id, "");
    for (const message of await this.options.store.allMessages().catch(() => [])) {
      if (found.get(message.conversation)) continue;
      const lower = message.text.toLowerCase();
      if (has(lower)) found.set(message.conversation, excerpt(message.text, lower.indexOf(words[0] ?? "")));
    }
    return list.filter((item) => found.has(item.id)).map((conversation) => ({ conversation, excerpt: found.get(conversation.id) ?? "" }));
  }

  // Another tab has written.
  async refresh(id: string): Promise<void> {
    await this.load();
    if (id !== this.currentId.peek() || this.answering.peek().has(id)) return;
    await this.open(this.list.peek().some((item) => item.id === id) ? id : null);
  }

  private ask(parent: string | null, text: string): void {
    if (this.currentAnswering.peek()) return;
    const now = this.time();
    const system = this.newSystem.peek();
    const old = this.current.peek();
    const conversation: Conversation = old ?? { id: newId(), title: titleFrom(text), created: now, updated: now, system, selected: {} };
    const message: Message = { id: newId(), conversation: conversation.id, parent, role: "user", text, created: now, state: "done" };
    this.opening++; // what was being opened is no longer wanted
    batch(() => {
      if (!old) {
        this.currentId.value = conversation.id;
        this.messages.value = noMessages;
        this.newSystem.value = null;
      }
      this.begin(conversation, [message]);
    });
    this.answer(message.id);
  }

  private answer(parent: string): void {
    const conversation = this.current.peek();
    if (!conversation || this.currentAnswering.peek()) return;
    const { model, system, sampling } = this.options.defaults();
    const message: Message = {
      id: newId(), conversation: conversation.id, parent, role: "assistant", text: "", created: this.time(), state: "streaming", model,
    };
    const sent = requestMessages(this.messages.peek(), parent, conversation.system ?? system);
    this.begin(conversation, [message]);
    const { ask, showEveryMs = 50, saveEveryMs = 2000 } = this.options;
    const answering = new Answering(message, { model, messages: sent, sampling }, {
      ask, showEveryMs, saveEveryMs, save: (state) => void this.write([], [state]),
    });
    this.answering.value = new Map(this.answering.peek()).set(conversation.id, answering);
    void answering.done.then((finished) => this.end(finished));
  }

  private end(message: Message): void {
    batch(() => {
      const others = new Map(this.answering.peek());
      others.delete(message.conversation);
      this.answering.value = others;
      if (this.currentId.peek() === message.conversation) this.show([message]);
    });
    this.options.changed?.(message.conversation);
  }

  // Adds messages to the conversation that is shown and selects them.
  private begin(conversation: Conversation, added: Message[]): void {
    let selected = conversation.selected;
    for (const message of added) selected = select(selected, message);
    const changed = { ...conversation, selected, updated: this.time() };
    this.show(added);
    this.list.value = sorted([...this.list.peek().filter((item) => item.id !== conversation.id), changed]);
    void this.write([changed], added);
  }

  private show(changed: Message[]): void {
    const next = new Map(this.messages.peek());
    for (const message of changed) next.set(message.id, message);
    this.messages.value = next;
  }

  private update(conversation: Conversation): void {
    this.list.value = sorted(this.list.peek().map((item) => (item.id === conversation.id ? conversation : item)));
    void this.write([conversation], []);
  }

  private forget(id: string): void {
    batch(() => {
      this.list.value = this.list.peek().filter((item) => item.id !== id);
      if (this.currentId.peek() !== id) return;
      this.currentId.value = null;
      this.messages.value = noMessages;
    });
  }

  private async write(conversations: Conversation[], messages: Message[]): Promise<void> {
    try {
      await this.options.store.put(conversations, messages);
      for (const { id } of conversations) this.options.changed?.(id);
    } catch (error) {
      this.report(error);
    }
  }

  // Siblings are ordered by their times: two messages never share one.
  private time(): number {
    this.lastTime = Math.max(Date.now(), this.lastTime + 1);
    return this.lastTime;
  }

  private report(error: unknown): void {
    if (error instanceof StoreError && error.full) {
      this.options.problem("The browser's storage is full, so this is not kept. Export and delete old conversations.");
    } else {
      this.options.problem("The browser could not read or write its storage. What you see may not be kept.");
    }
  }
}

function sorted(list: Conversation[]): Conversation[] {
  return [...list].sort((a, b) => b.updated - a.updated || (a.id < b.id ? -1 : 1));
}

// Some text around `at`, on one line.
function excerpt(text: string, at: number): string {
  const start = Math.max(0, at - 30);
  const cut = text.slice(start, at + 90).replace(/\s+/g, " ").trim();
  return `${start > 0 ? "\u2026" : ""}${cut}`;
}
