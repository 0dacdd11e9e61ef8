// Puts the page together: storage, server, state, screen, address.

import "./styles/index.css";
import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { streamChat } from "./api/client";
import { Monitor } from "./api/monitor";
import { Chats } from "./chat/chats";
import { loadSettings, loadTheme, readLocal, saveSettings, sentSampling, writeLocal } from "./settings/settings";
import { openStore } from "./store/store";
import { App } from "./ui/app";
import type { App as AppState, Toast } from "./ui/context";
import { focusComposer, isNarrow } from "./ui/shortcuts";

const foldedKey = "hearth.folded";

async function start(root: HTMLElement): Promise<void> {
  const store = await openStore();
  const settings = signal(loadSettings());
  const toast = signal<Toast | null>(null);
  const monitor = new Monitor(() => settings.peek().apiKey);
  const tabs = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("hearth");

  // The model of the settings where the server still has it, else its first.
  const model = () => {
    const ids = monitor.models.value.map((item) => item.id);
    return ids.includes(settings.value.model) ? settings.value.model : (ids[0] ?? settings.value.model);
  };
  const chats = new Chats({
    store,
    ask: (request, abort) => streamChat(request, settings.peek().apiKey, abort),
    defaults: () => ({ model: model(), system: settings.peek().system, sampling: sentSampling(settings.peek().sampling) }),
    problem: (text) => (toast.value = { text }),
    changed: (id) => tabs?.postMessage(id),
  });
  tabs?.addEventListener("message", (event) => void chats.refresh(String(event.data)));

  const app: AppState = {
    chats, monitor, settings, toast, model,
    kept: store.kept,
    theme: signal(loadTheme()),
    dialog: signal(null),
    drawer: signal(false),
    folded: signal(readLocal(foldedKey) === "yes"),
    spoken: signal(""),
    drafts: new Map(),
  };

  await chats.load();
  await chats.open(idOfAddress());
  // The address names the conversation, so that reloading and going back find it.
  window.addEventListener("hashchange", () => {
    const id = idOfAddress();
    if (id !== chats.currentId.peek()) void chats.open(id);
  });
  effect(() => {
    const id = chats.currentId.value;
    if (id !== idOfAddress()) history.pushState(null, "", id === null ? location.pathname : `#/c/${id}`);
  });
  effect(() => {
    document.title = chats.current.value ? `${chats.current.value.title} \u00b7 Hearth` : "Hearth";
  });
  let saved = settings.peek();
  effect(() => {
    if (settings.value === saved) return;
    saved = settings.value;
    if (!saveSettings(saved)) toast.value = { text: "The browser did not keep the settings: its storage is full or blocked." };
  });
  effect(() => void writeLocal(foldedKey, app.folded.value ? "yes" : "no"));
  window.addEventListener("popstate", () => {
    if (idOfAddress() === null && chats.currentId.peek() !== null) void chats.open(null);
  });

  monitor.start();
  render(<App app={app} />, root);
  if (!isNarrow()) focusComposer();
}

function idOfAddress(): string | null {
  return /^#\/c\/([0-9a-f]{1,64})$/.exec(location.hash)?.[1] ?? null;
}

const root = document.getElementById("app");
if (root) void start(root);
