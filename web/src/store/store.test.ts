import "fake-indexeddb/auto";
import { describe, expect, it, vi } from "vitest";
import type { Conversation, Message } from "../chat/types";
import { MemoryStore, openStore, StoreError, type Store } from "./store";

const conversation = (id: string): Conversation => ({ id, title: id, created: 1, updated: 1, system: null, selected: {} });
const message = (id: string, of: string): Message => ({ id, conversation: of, parent: null, role: "user", text: id, created: 1, state: "done" });

let databases = 0;
const kinds: [string, () => Promise<Store>][] = [
  ["IndexedDB", () => openStore(`test-${++databases}`)],
  ["memory", async () => new MemoryStore()],
];

describe.each(kinds)("a store in %s", (_name, open) => {
  it("gives back what was put, by conversation", async () => {
    const store = await open();
    await store.put([conversation("a"), conversation("b")], [message("1", "a"), message("2", "b"), message("3", "a")]);
    expect((await store.conversations()).map((item) => item.id)).toEqual(["a", "b"]);
    expect((await store.messages("a")).map((item) => item.id)).toEqual(["1", "3"]);
    expect(await store.allMessages()).toHaveLength(3);
  });

  it("replaces by id", async () => {
    const store = await open();
    await store.put([conversation("a")], []);
    await store.put([{ ...conversation("a"), title: "new" }], []);
    expect((await store.conversations()).map((item) => item.title)).toEqual(["new"]);
  });

  it("removes a conversation with its messages and no other", async () => {
    const store = await open();
    await store.put([conversation("a"), conversation("b")], [message("1", "a"), message("2", "b")]);
    await store.remove("a");
    expect((await store.conversations()).map((item) => item.id)).toEqual(["b"]);
    expect((await store.allMessages()).map((item) => item.id)).toEqual(["2"]);
  });
});

describe("IndexedDB", () => {
  it("leaves out records that are damaged", async () => {
    const store = await openStore("damaged");
    const bad = [{ id: "x" }, { ...message("y", "a"), text: 7 }, { ...message("z", "a"), state: "odd", stats: "many" }];
    await store.put([{ id: "no title" } as unknown as Conversation, conversation("a")], bad as unknown as Message[]);
    expect((await store.conversations()).map((item) => item.id)).toEqual(["a"]);
    expect(await store.allMessages()).toEqual([{ ...message("z", "a"), state: "done" }]);
  });

  it("keeps nothing of a write that fails, and says so", async () => {
    const store = await openStore("atomic");
    const unstorable = { ...message("1", "a"), text: (() => {}) as unknown as string };
    await expect(store.put([conversation("a")], [unstorable])).rejects.toBeInstanceOf(StoreError);
    expect(await store.allMessages()).toEqual([]);
  });

  it("gives way to memory when the browser refuses it", async () => {
    const refuse = vi.spyOn(indexedDB, "open").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    const store = await openStore("refused");
    refuse.mockRestore();
    expect(store.kept).toBe(false);
    await store.put([conversation("a")], []);
    expect(await store.conversations()).toHaveLength(1);
  });
});

it("knows a full storage from other errors", () => {
  expect(new StoreError(new DOMException("x", "QuotaExceededError")).full).toBe(true);
  expect(new StoreError(new DOMException("x", "AbortError")).full).toBe(false);
  expect(new StoreError(null).full).toBe(false);
});
