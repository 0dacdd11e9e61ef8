import { describe, expect, it } from "vitest";
import { children, pathTo, requestMessages, select, shownPath, splitThinking, titleFrom } from "./tree";
import type { Message, Role } from "./types";

let clock = 0;
function message(id: string, parent: string | null, role: Role, text = id): Message {
  return { id, conversation: "c", parent, role, text, created: ++clock, state: "done" };
}

function tree(...list: Message[]): Map<string, Message> {
  return new Map(list.map((item) => [item.id, item]));
}

const forked = tree(
  message("q1", null, "user"),
  message("a1", "q1", "assistant"),
  message("a2", "q1", "assistant"),
  message("q2", "a1", "user"),
  message("a3", "q2", "assistant"),
  message("q1b", null, "user"),
);

const ids = (path: { message: Message }[]) => path.map((step) => step.message.id);

describe("shownPath", () => {
  it("shows the newest branch where nothing is selected", () => {
    expect(ids(shownPath(forked, {}))).toEqual(["q1b"]);
  });

  it("follows the selection and remembers the one deeper down", () => {
    const selected = select(select({}, { id: "q1", parent: null }), { id: "a1", parent: "q1" });
    expect(ids(shownPath(forked, selected))).toEqual(["q1", "a1", "q2", "a3"]);
    const other = select(selected, { id: "a2", parent: "q1" });
    expect(ids(shownPath(forked, other))).toEqual(["q1", "a2"]);
    expect(ids(shownPath(forked, select(other, { id: "a1", parent: "q1" })))).toEqual(["q1", "a1", "q2", "a3"]);
  });

  it("lists siblings oldest first", () => {
    expect(shownPath(forked, { "": "q1" })[1]?.siblings).toEqual(["a1", "a2"]);
  });

  it("falls back to the newest when the selected child is gone", () => {
    expect(ids(shownPath(forked, { "": "deleted" }))).toEqual(["q1b"]);
  });

  it("ends on a cycle", () => {
    const cyclic = tree(message("x", null, "user"), message("y", "x", "assistant"));
    cyclic.set("x2", { ...message("x", "y", "user"), id: "x" });
    expect(ids(shownPath(cyclic, {}))).toEqual(["x", "y"]);
  });
});

it("orders children by time, then by id", () => {
  const same = tree({ ...message("b", null, "user"), created: 5 }, { ...message("a", null, "user"), created: 5 });
  expect(children(same, null).map((item) => item.id)).toEqual(["a", "b"]);
});

describe("pathTo", () => {
  it("goes up to the root", () => expect(pathTo(forked, "a3").map((item) => item.id)).toEqual(["q1", "a1", "q2", "a3"]));
  it("is empty for an unknown message or a broken chain", () => {
    expect(pathTo(forked, "nobody")).toEqual([]);
    expect(pathTo(tree(message("z", "gone", "user")), "z")).toEqual([]);
  });
  it("ends on a cycle", () => {
    const cyclic = tree(message("x", "y", "user"), message("y", "x", "assistant"));
    expect(pathTo(cyclic, "x").length).toBeLessThanOrEqual(3);
  });
});

describe("requestMessages", () => {
  it("sends the branch above the answer, system prompt first", () => {
    expect(requestMessages(forked, "q2", "Be kind.")).toEqual([
      { role: "system", content: "Be kind." },
      { role: "user", content: "q1" },
      { role: "assistant", content: "a1" },
      { role: "user", content: "q2" },
    ]);
  });

  it("leaves out a blank system prompt, empty answers and reasoning", () => {
    const list = tree(
      message("q", null, "user", "hi"),
      message("e", "q", "assistant", ""),
      message("r", "e", "user", "again"),
      message("t", "r", "assistant", "<think>hm</think>\n\nyes"),
      message("s", "t", "user", "sure?"),
    );
    expect(requestMessages(list, "s", " \n").map((item) => item.content)).toEqual(["hi", "again", "yes", "sure?"]);
  });
});

describe("titleFrom", () => {
  it("takes the first line that says something", () => expect(titleFrom("\n\n  Hello   there \nmore")).toBe("Hello there"));
  it("cuts at a word", () => expect(titleFrom("one two three four five", 15)).toBe("one two three\u2026"));
  it("cuts a long word anyway, never through a character", () => expect(titleFrom("\u{1F525}".repeat(9), 4)).toBe(`${"\u{1F525}".repeat(4)}\u2026`));
  it("is empty for blank text", () => expect(titleFrom(" \n ")).toBe(""));
});

describe("splitThinking", () => {
  it("takes reasoning off the front only", () => {
    expect(splitThinking("<think>\na\n</think>\n\nb")).toEqual({ thinking: "a", answer: "b", open: false });
    expect(splitThinking("<think>still")).toEqual({ thinking: "still", answer: "", open: true });
    expect(splitThinking("use <think> tags").answer).toBe("use <think> tags");
  });
});
