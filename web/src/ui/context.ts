// What the parts of the screen share.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Signal } from "@preact/signals";
import type { Monitor } from "../api/monitor";
import type { Chats } from "../chat/chats";
import type { Settings, Theme } from "../settings/settings";

export interface Toast {
  text: string;
  action?: { label: string; run: () => void };
}

export type DialogName = "settings" | "help";

export interface App {
  chats: Chats;
  monitor: Monitor;
  kept: boolean; // conversations outlive the page
  settings: Signal<Settings>;
  theme: Signal<Theme>;
  dialog: Signal<DialogName | null>;
  drawer: Signal<boolean>; // narrow screens: the sidebar lies over the page
  folded: Signal<boolean>; // wide screens: the sidebar is folded away
  toast: Signal<Toast | null>;
  spoken: Signal<string>; // for screen readers
  drafts: Map<string, string>; // unsent text, by conversation
  model(): string;
}

const AppContext = createContext<App | null>(null);
export const AppProvider = AppContext.Provider;

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("outside AppProvider");
  return app;
}
