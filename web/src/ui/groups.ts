// The list of conversations in groups by when they were last used.

import type { Conversation } from "../chat/types";

export interface Group {
  title: string;
  conversations: Conversation[];
}

const ages: [title: string, days: number][] = [["Today", 0], ["Yesterday", 1], ["Last 7 days", 7], ["Last 30 days", 30], ["Older", Infinity]];

// `list` is newest first, and so are the groups.
export function groupByAge(list: Conversation[], now: Date): Group[] {
  const groups = new Map<string, Conversation[]>();
  for (const conversation of list) {
    const days = daysAgo(new Date(conversation.updated), now);
    const title = ages.find(([, most]) => days <= most)?.[0] ?? "Older";
    groups.set(title, [...(groups.get(title) ?? []), conversation]);
  }
  return [...groups].map(([title, conversations]) => ({ title, conversations }));
}

// In calendar days of this place; days of 23 and 25 hours round to one.
function daysAgo(then: Date, now: Date): number {
  const midnight = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((midnight(now) - midnight(then)) / 86_400_000);
}
