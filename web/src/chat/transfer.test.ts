import { describe, expect, it } from "vitest";
import { fileName, fromJson, ImportError, toJson, toMarkdown, type Archive } from "./transfer";
import { shownPath } from "./tree";

const archive: Archive = {
  conversation: { id: "c", title: "Fire: how?", created: 1, updated: 2, system: "Be\nbrief.", selected: { "": "q", q: "a" } },
  messages: [
    { id: "q", conversation: "c", parent: null, role: "user", text: "How?", created: 1, state: "done" },
    { id: "a", conversation: "c", parent: "q", role: "assistant", text: "<think>hm</think>Like **this**.", created: 2, state: "done", model: "m", stats: { tokens: 4, exact: true, firstTokenMs: 9 } },
    { id: "b", conversation: "c", parent: "q", role: "assistant", text: "Otherwise.", created: 3, state: "stopped" },
  ],
};

const texts = ({ conversation, messages }: Archive) =>
  shownPath(new Map(messages.map((item) => [item.id, item])), conversation.selected).map((step) => step.message.text);

describe("JSON", () => {
  it("comes back with the same tree, selection and figures under new ids", () => {
    const [back] = fromJson(toJson([archive], 0), 99);
    expect(back?.conversation).toMatchObject({ title: "Fire: how?", system: "Be\nbrief.", created: 1, updated: 2 });
    expect(texts(back as Archive)).toEqual(texts(archive));
    expect(back?.messages.map((item) => item.text)).toEqual(archive.messages.map((item) => item.text));
    expect(back?.messages[1]?.stats).toEqual({ tokens: 4, exact: true, firstTokenMs: 9 });
    expect(back?.conversation.id).not.toBe("c");
    expect(back?.messages.some((item) => ["q", "a", "b"].includes(item.id))).toBe(false);
  });

  it("reads a plain list of messages", () => {
    const list = [{ role: "system", content: "S" }, { role: "user", content: "Hi" }, { role: "assistant", content: "Ho" }];
    for (const text of [JSON.stringify(list), JSON.stringify({ messages: list })]) {
      const [back] = fromJson(text, 5);
      expect(back?.conversation).toMatchObject({ title: "Hi", system: "S" });
      expect(texts(back as Archive)).toEqual(["Hi", "Ho"]);
    }
  });

  const message = { id: "1", parent: null, role: "user", text: "x", created: 0 };
  const wrap = (conversation: unknown) => JSON.stringify({ format: "hearth-conversations", version: 1, conversations: [conversation] });
  it.each([
    ["not JSON", "{"],
    ["another format", '{"format":"x"}'],
    ["a later version", '{"format":"hearth-conversations","version":2,"conversations":[]}'],
    ["no conversation", wrap(null)],
    ["no messages", wrap({ messages: 3 })],
    ["an empty list", "[]"],
    ["a message without an id", wrap({ messages: [{ ...message, id: 3 }] })],
    ["the same id twice", wrap({ messages: [message, message] })],
    ["a missing parent", wrap({ messages: [{ ...message, parent: "9" }] })],
    ["an unknown role", wrap({ messages: [{ ...message, role: "root" }] })],
    ["text that is none", wrap({ messages: [{ ...message, text: { html: "<b>" } }] })],
  ])("refuses %s", (_, text) => {
    expect(() => fromJson(text, 0)).toThrow(ImportError);
  });

  it("replaces impossible times and drops what it does not know", () => {
    const [back] = fromJson(wrap({ created: 1e300, messages: [{ ...message, created: "now", __proto__: 1, onclick: "x", stats: { tokens: "9" } }] }), 77);
    expect(back?.conversation.created).toBe(77);
    expect(Object.keys(back?.messages[0] ?? {}).sort()).toEqual(["conversation", "created", "id", "parent", "role", "state", "text"]);
  });

  it("does not call a half answer from a file a running one", () => {
    const [back] = fromJson(wrap({ messages: [{ ...message, role: "assistant", state: "streaming" }] }), 0);
    expect(back?.messages[0]?.state).toBe("stopped");
  });
});

it("writes the shown branch as Markdown", () => {
  expect(toMarkdown(archive)).toBe("# Fire: how?\n\n> **System prompt:** Be\n> brief.\n\n## You\n\nHow?\n\n## m\n\nLike **this**.\n");
});

it("names files safely", () => {
  expect(fileName("../../etc/passwd?", "json")).toBe("etc-passwd.json");
  expect(fileName("Gl\u00fchwein \u2014 \u706b", "md")).toBe("gl\u00fchwein-\u706b.md");
  expect(fileName("***", "md")).toBe("conversation.md");
});
