import { beforeEach, describe, expect, it, vi } from "vitest";
import type { ChatRequest, ChatUpdate } from "../api/client";
import { FailureError } from "../api/failure";
import { MemoryStore, StoreError } from "../store/store";
import { Chats } from "./chats";

let store: MemoryStore;
let requests: ChatRequest[];
let problems: string[];
let script: (request: ChatRequest, signal: AbortSignal) => AsyncIterable<ChatUpdate>;

async function* words(...list: string[]): AsyncGenerator<ChatUpdate> {
  for (const text of list) yield { text, thinking: "" };
  yield { text: "", thinking: "", finish: "stop", usage: { completionTokens: list.length } };
}

// Yields one word and then waits for the stop button.
async function* hanging(signal: AbortSignal): AsyncGenerator<ChatUpdate> {
  yield { text: "begun", thinking: "" };
  await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new DOMException("stop", "AbortError"))));
}

function makeChats(): Chats {
  return new Chats({
    store,
    ask: (request, signal) => {
      requests.push(request);
      return script(request, signal);
    },
    defaults: () => ({ model: "m", system: "Be kind.", sampling: { temperature: 0 } }),
    problem: (message) => problems.push(message),
    showEveryMs: 0,
    saveEveryMs: 0,
  });
}

const idle = (chats: Chats) => vi.waitFor(() => expect(chats.answering.value.size).toBe(0));
const texts = (chats: Chats) => chats.path.value.map((step) => step.message.text);

let chats: Chats;
beforeEach(() => {
  store = new MemoryStore();
  requests = [];
  problems = [];
  script = (request) => words(`re: ${request.messages.at(-1)?.content}`);
  chats = makeChats();
});

async function say(text: string): Promise<void> {
  chats.send(text);
  await idle(chats);
}

describe("a conversation", () => {
  it("begins with the first question, is titled after it, and is kept", async () => {
    await say("Hello there");
    await say("And now?");
    expect(texts(chats)).toEqual(["Hello there", "re: Hello there", "And now?", "re: And now?"]);
    expect(chats.current.value?.title).toBe("Hello there");
    expect(requests[1]).toEqual({
      model: "m",
      sampling: { temperature: 0 },
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hello there" },
        { role: "assistant", content: "re: Hello there" },
        { role: "user", content: "And now?" },
      ],
    });
    const again = makeChats();
    await again.load();
    await again.open(chats.currentId.value);
    expect(texts(again)).toEqual(texts(chats));
    expect(again.path.value[1]?.message.stats).toMatchObject({ tokens: 1, exact: true });
  });

  it("has its own system prompt where one is set before or later", async () => {
    chats.setSystem("First.");
    await say("a");
    expect(requests[0]?.messages[0]?.content).toBe("First.");
    chats.setSystem("Second.");
    await say("b");
    expect(requests[1]?.messages[0]?.content).toBe("Second.");
    expect(chats.newSystem.value).toBeNull();
  });
});

describe("branches", () => {
  it("come from another answer, and the old one stays", async () => {
    await say("q");
    script = () => words("other");
    chats.regenerate(chats.path.value[1]!.message.id);
    await idle(chats);
    expect(texts(chats)).toEqual(["q", "other"]);
    const siblings = chats.path.value[1]!.siblings;
    expect(siblings).toHaveLength(2);
    chats.choose(siblings[0]!);
    expect(texts(chats)).toEqual(["q", "re: q"]);
  });

  it("come from an edited question and do not send what it replaces", async () => {
    await say("one");
    await say("two");
    chats.edit(chats.path.value[2]!.message.id, "zwei");
    await idle(chats);
    expect(texts(chats)).toEqual(["one", "re: one", "zwei", "re: zwei"]);
    expect(requests.at(-1)?.messages.map((item) => item.content)).toEqual(["Be kind.", "one", "re: one", "zwei"]);
    chats.choose(chats.path.value[2]!.siblings[0]!);
    expect(texts(chats)).toEqual(["one", "re: one", "two", "re: two"]);
  });
});

describe("stopping", () => {
  it("keeps what had come and lets the next question be asked", async () => {
    script = (_, signal) => hanging(signal);
    chats.send("q");
    await vi.waitFor(() => expect(chats.currentAnswering.value?.message.value.text).toBe("begun"));
    chats.send("not while answering");
    chats.stop();
    await idle(chats);
    expect(chats.path.value[1]?.message).toMatchObject({ text: "begun", state: "stopped" });
    script = () => words("fine");
    await say("next");
    expect(texts(chats)).toEqual(["q", "begun", "next", "fine"]);
  });

  it("goes on in the background when another conversation is opened", async () => {
    script = (_, signal) => hanging(signal);
    chats.send("q");
    const first = chats.currentId.value!;
    await vi.waitFor(() => expect(chats.currentAnswering.value?.message.value.text).toBe("begun"));
    await chats.open(null);
    expect(chats.currentAnswering.value).toBeNull();
    await chats.open(first);
    expect(chats.path.value[1]?.message.state).toBe("streaming");
    chats.stop();
    await idle(chats);
    expect(chats.path.value[1]?.message.state).toBe("stopped");
  });

  it("shows an answer whose page was closed as stopped", async () => {
    script = (_, signal) => hanging(signal);
    chats.send("q");
    await vi.waitFor(async () => expect((await store.allMessages()).find((item) => item.role === "assistant")?.text).toBe("begun"));
    const again = makeChats();
    await again.load();
    await again.open(chats.currentId.value);
    expect(again.path.value[1]?.message).toMatchObject({ text: "begun", state: "stopped" });
    chats.stop();
    await idle(chats);
  });
});

describe("failures", () => {
  it("stay with the answer and can be tried again", async () => {
    script = async function* () {
      throw new FailureError({ kind: "network", message: "gone" });
    };
    await say("q");
    expect(chats.path.value[1]?.message).toMatchObject({ state: "failed", failure: { kind: "network" } });
    script = () => words("back");
    chats.regenerate(chats.path.value[1]!.message.id);
    await idle(chats);
    expect(texts(chats)).toEqual(["q", "back"]);
  });

  it("of a busy server are waited out", async () => {
    let tries = 0;
    script = async function* () {
      if (++tries < 3) throw new FailureError({ kind: "busy", message: "full", retryAt: Date.now() + 1 });
      yield* words("at last");
    };
    chats.send("q");
    await vi.waitFor(() => expect(chats.currentAnswering.value?.waitingUntil.value).not.toBeNull());
    await idle(chats);
    expect(texts(chats)).toEqual(["q", "at last"]);
    expect(tries).toBe(3);
  });

  it("of a server that says to come back in an hour are shown at once", async () => {
    script = async function* () {
      throw new FailureError({ kind: "busy", message: "full", retryAt: Date.now() + 3_600_000 });
    };
    await say("q");
    expect(chats.path.value[1]?.message.failure?.kind).toBe("busy");
  });

  it("of the storage are reported and lose nothing on the screen", async () => {
    store.put = () => Promise.reject(new StoreError(new DOMException("x", "QuotaExceededError")));
    await say("q");
    expect(texts(chats)).toEqual(["q", "re: q"]);
    expect(problems[0]).toContain("full");
  });
});

describe("the list", () => {
  it("renames, removes and restores", async () => {
    await say("first");
    const first = chats.currentId.value!;
    await chats.open(null);
    await say("second");
    expect(chats.list.value.map((item) => item.title)).toEqual(["second", "first"]);
    chats.rename(first, "  A   name ");
    chats.rename(first, "   ");
    expect(chats.list.value[1]?.title).toBe("A name");
    const removed = await chats.remove(chats.currentId.value!);
    expect(chats.list.value.map((item) => item.title)).toEqual(["A name"]);
    expect(chats.currentId.value).toBeNull();
    expect(await store.allMessages()).toHaveLength(2);
    await chats.add([removed!]);
    expect(chats.list.value.map((item) => item.title)).toEqual(["second", "A name"]);
    expect(await store.allMessages()).toHaveLength(4);
  });

  it("writes nothing for a conversation that was removed while it was answered", async () => {
    script = (_, signal) => hanging(signal);
    chats.send("q");
    await vi.waitFor(() => expect(chats.currentAnswering.value?.message.value.text).toBe("begun"));
    await chats.remove(chats.currentId.value!);
    await idle(chats);
    expect(await store.allMessages()).toEqual([]);
    expect(chats.list.value).toEqual([]);
  });

  it("is searched by title and by text, all words, any case", async () => {
    await say("Bread and butter");
    script = () => words("A tale of GRAVITY and of apples");
    await chats.open(null);
    await say("Newton");
    expect((await chats.search("BREAD")).map((match) => match.conversation.title)).toEqual(["Bread and butter"]);
    expect(await chats.search("apples gravity")).toMatchObject([{ conversation: { title: "Newton" }, excerpt: expect.stringContaining("GRAVITY") }]);
    expect(await chats.search("nothing")).toEqual([]);
    expect(await chats.search(" ")).toHaveLength(2);
  });

  it("opens a new chat for an id it does not know", async () => {
    await chats.open("unknown");
    expect(chats.currentId.value).toBeNull();
  });
});
