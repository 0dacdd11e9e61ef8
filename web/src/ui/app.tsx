import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { splitThinking } from "../chat/tree";
import { Composer } from "./composer";
import { AppProvider, type App as AppState } from "./context";
import { readFiles } from "./files";
import { HelpDialog } from "./help_dialog";
import { SettingsDialog } from "./settings_dialog";
import { handleKey, isNarrow } from "./shortcuts";
import { Sidebar } from "./sidebar";
import { Thread } from "./thread";
import { Toasts } from "./toasts";
import { TopBar } from "./top_bar";

export function App({ app }: { app: AppState }) {
  const editing = useSignal<string | null>(null);
  const narrow = useSignal(isNarrow());
  const { chats, drawer, folded, dialog } = app;

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => handleKey(app, event);
    const onResize = () => (narrow.value = isNarrow());
    window.addEventListener("keydown", onKey);
    window.addEventListener("resize", onResize);
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener("resize", onResize);
    };
  }, []);
  useSpokenAnswers(app);

  // The last question on the screen.
  function editLast(): void {
    editing.value = chats.path.value.findLast((step) => step.message.role === "user")?.message.id ?? null;
  }

  const hidden = narrow.value ? !drawer.value : folded.value;
  return (
    <AppProvider value={app}>
      <div
        class={`page${hidden ? " is-folded" : ""}`}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void readFiles(app, [...(event.dataTransfer?.files ?? [])]);
        }}
      >
        <a class="skip" href="#composer-text" onClick={(event) => {
          event.preventDefault();
          document.getElementById("composer-text")?.focus();
        }}>Skip to the message field</a>
        <Sidebar hidden={hidden} />
        <div class="backdrop" onClick={() => (drawer.value = false)} />
        <main inert={narrow.value && drawer.value}>
          <TopBar />
          <Thread editing={editing} />
          <Composer editLast={editLast} />
        </main>
        {dialog.value === "settings" && <SettingsDialog />}
        {dialog.value === "help" && <HelpDialog />}
        <Toasts />
      </div>
    </AppProvider>
  );
}

const maxSpoken = 1000;

// Reads an answer out when it is complete: piece by piece it would be unbearable.
function useSpokenAnswers({ chats, spoken }: AppState): void {
  const answering = chats.currentAnswering.value;
  const id = chats.currentId.value;
  const before = useRef<{ id: string | null; on: boolean }>({ id: null, on: false });
  useEffect(() => {
    const was = before.current;
    before.current = { id, on: answering !== null };
    if (answering) spoken.value = "Answering.";
    else if (was.on && was.id === id) {
      const last = chats.path.value.at(-1)?.message;
      if (last?.state === "done") spoken.value = splitThinking(last.text).answer.slice(0, maxSpoken);
      else if (last?.state === "stopped") spoken.value = "Stopped.";
    }
  }, [answering, id]);
}
