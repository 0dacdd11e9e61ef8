// The keys of the page: one table for what they do and for the help that lists them.

import type { App } from "./context";

export interface Shortcut {
  keys: string; // as shown: "Mod" is Ctrl, or Command on a Mac
  what: string;
  matches?: (event: KeyboardEvent) => boolean; // absent: handled where it applies
  run?: (app: App) => void;
}

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

function mod(key: string, shift = false): (event: KeyboardEvent) => boolean {
  return (event) => (isMac ? event.metaKey : event.ctrlKey) && !event.altKey && event.shiftKey === shift && event.key.toLowerCase() === key;
}

// A character that is not being typed into a field.
function bare(key: string): (event: KeyboardEvent) => boolean {
  return (event) => event.key === key && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

export const shortcuts: readonly Shortcut[] = [
  { keys: "Enter", what: "Send the message" },
  { keys: "Shift+Enter", what: "Start a new line" },
  { keys: "Esc", what: "Stop the answer" },
  { keys: "Up", what: "Edit the last message, from an empty field" },
  { keys: "Mod+Shift+O", what: "New chat", matches: mod("o", true), run: (app) => newChat(app) },
  { keys: "Mod+K", what: "Search conversations", matches: mod("k"), run: (app) => focusSearch(app) },
  { keys: "Mod+B", what: "Show or hide the sidebar", matches: mod("b"), run: (app) => toggleSidebar(app) },
  { keys: "Alt+R", what: "Answer again", matches: (event) => event.altKey && !event.ctrlKey && event.code === "KeyR", run: (app) => answerAgain(app) },
  { keys: "/", what: "Go to the message field", matches: bare("/"), run: () => focusComposer() },
  { keys: "Mod+,", what: "Settings", matches: mod(","), run: (app) => (app.dialog.value = "settings") },
  { keys: "?", what: "This help", matches: bare("?"), run: (app) => (app.dialog.value = "help") },
];

// "Mod+K" -> ["Ctrl", "K"]
export function keyNames(keys: string): string[] {
  return keys.split("+").map((key) => (key === "Mod" ? (isMac ? "\u2318" : "Ctrl") : key === "Up" ? "\u2191" : key));
}

export function handleKey(app: App, event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing || app.dialog.value !== null) return;
  if (event.key === "Escape") {
    if (app.drawer.value) app.drawer.value = false;
    else if (app.chats.currentAnswering.value) app.chats.stop();
    else return;
    event.preventDefault();
    return;
  }
  const shortcut = shortcuts.find((item) => item.matches?.(event));
  if (!shortcut?.run) return;
  event.preventDefault();
  shortcut.run(app);
}

export function newChat(app: App): void {
  app.drawer.value = false;
  void app.chats.open(null).then(focusComposer);
}

export function focusComposer(): void {
  document.querySelector<HTMLTextAreaElement>("#composer-text")?.focus();
}

export function isNarrow(): boolean {
  return window.matchMedia("(max-width: 56rem)").matches;
}

export function toggleSidebar(app: App): void {
  if (isNarrow()) app.drawer.value = !app.drawer.value;
  else app.folded.value = !app.folded.value;
}

function focusSearch(app: App): void {
  if (isNarrow()) app.drawer.value = true;
  else app.folded.value = false;
  const focus = () => {
    const field = document.querySelector<HTMLInputElement>("#search");
    field?.focus();
    field?.select();
    return document.activeElement === field;
  };
  // A sidebar that is hidden takes no focus until it has been drawn.
  if (!focus()) requestAnimationFrame(() => requestAnimationFrame(focus));
}

function answerAgain(app: App): void {
  const last = app.chats.path.value.at(-1)?.message;
  if (last) app.chats.regenerate(last.id);
}
