import { expect, it } from "vitest";
import type { Conversation } from "../chat/types";
import { groupByAge } from "./groups";

const now = new Date(2026, 2, 30, 0, 30);
const at = (...date: [number, number, number, number]): Conversation => ({
  id: date.join(), title: "", created: 0, updated: new Date(...date).getTime(), system: null, selected: {},
});

it("groups by calendar day, not by hours", () => {
  const list = [at(2026, 2, 30, 0), at(2026, 2, 29, 23), at(2026, 2, 29, 1), at(2026, 2, 24, 12), at(2026, 2, 1, 12), at(2025, 2, 1, 12)];
  expect(groupByAge(list, now).map((group) => [group.title, group.conversations.length])).toEqual([
    ["Today", 1], ["Yesterday", 2], ["Last 7 days", 1], ["Last 30 days", 1], ["Older", 1],
  ]);
});

it("takes a clock that was ahead for today", () => expect(groupByAge([at(2026, 3, 5, 0)], now)[0]?.title).toBe("Today"));
