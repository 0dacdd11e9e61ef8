// Where conversations are kept: the browser's IndexedDB, or memory where the browser refuses it.

import type { Archive } from "../chat/transfer";
import type { Conversation, Message } from "../chat/types";
import { asConversation, asMessage } from "./records";

export interface Store {
  readonly kept: boolean; // false: gone when the page is closed
  conversations(): Promise<Conversation[]>;
  messages(conversation: string): Promise<Message[]>;
  allMessages(): Promise<Message[]>;
  // All or nothing. Rejects with a StoreError.
  put(conversations: Conversation[], messages: Message[]): Promise<void>;
  remove(conversation: string): Promise<void>;
}

export class StoreError extends Error {
  readonly full: boolean;
  constructor(cause: unknown) {
    const name = cause instanceof DOMException || cause instanceof Error ? cause.name : "";
    super(name || "unknown", { cause });
    this.full = name === "QuotaExceededError";
  }
}

export async function openStore(name = "hearth"): Promise<Store> {
  try {
    return new DatabaseStore(await openDatabase(name));
  } catch {
    return new MemoryStore();
  }
}

// A browser may leave the request for a broken profile unanswered.
const openTimeoutMs = 5000;

function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    const timer = setTimeout(() => reject(new Error("timeout")), openTimeoutMs);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("messages", { keyPath: "id" }).createIndex("conversation", "conversation");
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      // A later version of the page in another tab may want to change the stores.
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error ?? new Error("unknown"));
    };
  });
}

type StoreName = "conversations" | "messages";

class DatabaseStore implements Store {
  readonly kept = true;
  private readonly database: IDBDatabase;

  constructor(database: IDBDatabase) {
    this.database = database;
  }

  async conversations(): Promise<Conversation[]> {
    return whole(await this.read("conversations", (store) => store.getAll()), asConversation);
  }

  async messages(conversation: string): Promise<Message[]> {
    return whole(await this.read("messages", (store) => store.index("conversation").getAll(conversation)), asMessage);
  }

  async allMessages(): Promise<Message[]> {
    return whole(await this.read("messages", (store) => store.getAll()), asMessage);
  }

  put(conversations: Conversation[], messages: Message[]): Promise<void> {
    return this.write((stores) => {
      for (const conversation of conversations) stores.conversations.put(conversation);
      for (const message of messages) stores.messages.put(message);
    });
  }

  remove(conversation: string): Promise<void> {
    return this.write((stores) => {
      stores.conversations.delete(conversation);
      const cursors = stores.messages.index("conversation").openKeyCursor(conversation);
      cursors.onsuccess = () => {
        const cursor = cursors.result;
        if (!cursor) return;
        stores.messages.delete(cursor.primaryKey);
        cursor.continue();
      };
    });
  }

  private read(name: StoreName, ask: (store: IDBObjectStore) => IDBRequest<unknown[]>): Promise<unknown[]> {
    return new Promise((resolve, reject) => {
      try {
        const request = ask(this.database.transaction(name, "readonly").objectStore(name));
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new StoreError(request.error));
      } catch (error) {
        reject(new StoreError(error));
      }
    });
  }

  private write(change: (stores: Record<StoreName, IDBObjectStore>) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      try {
        const transaction = this.database.transaction(["conversations", "messages"], "readwrite");
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(new StoreError(transaction.error));
        change({ conversations: transaction.objectStore("conversations"), messages: transaction.objectStore("messages") });
      } catch (error) {
        reject(new StoreError(error));
      }
    });
  }
}

export class MemoryStore implements Store {
  readonly kept = false;
  private readonly conversationById = new Map<string, Conversation>();
  private readonly messageById = new Map<string, Message>();

  async conversations(): Promise<Conversation[]> {
    return [...this.conversationById.values()];
  }

  async messages(conversation: string): Promise<Message[]> {
    return [...this.messageById.values()].filter((message) => message.conversation === conversation);
  }

  async allMessages(): Promise<Message[]> {
    return [...this.messageById.values()];
  }

  async put(conversations: Conversation[], messages: Message[]): Promise<void> {
    for (const conversation of conversations) this.conversationById.set(conversation.id, conversation);
    for (const message of messages) this.messageById.set(message.id, message);
  }

  async remove(conversation: string): Promise<void> {
    this.conversationById.delete(conversation);
    for (const message of await this.messages(conversation)) this.messageById.delete(message.id);
  }
}

export async function readArchives(store: Store, conversations: Conversation[]): Promise<Archive[]> {
  return Promise.all(conversations.map(async (conversation) => ({ conversation, messages: await store.messages(conversation.id) })));
}

function whole<T>(values: unknown[], read: (value: unknown) => T | null): T[] {
  return values.map(read).filter((value): value is T => value !== null);
}
