import { useSignal } from "@preact/signals";
import { applyTheme, type Theme } from "../settings/settings";
import { conversationMenu } from "./conversation_actions";
import { useApp, type App } from "./context";
import { Icon } from "./icons";
import { Menu } from "./menu";
import { RenameField } from "./rename_field";
import { ServerStatus } from "./server_status";
import { keyNames, newChat, toggleSidebar } from "./shortcuts";

export function TopBar() {
  const app = useApp();
  const renaming = useSignal(false);
  const current = app.chats.current.value;
  const dark = isDark(app.theme.value);
  return (
    <header class="top-bar">
      <button
        type="button"
        class="icon-button"
        aria-label="Show or hide the sidebar"
        title={`Sidebar (${keyNames("Mod+B").join("+")})`}
        onClick={() => toggleSidebar(app)}
      >
        <Icon name="menu" />
      </button>
      <div class="top-title">
        {current && renaming.value ? (
          <RenameField id={current.id} title={current.title} done={() => (renaming.value = false)} />
        ) : (
          <h1>{current ? current.title || "Untitled" : "New chat"}</h1>
        )}
        <ServerStatus />
      </div>
      <div class="top-actions">
        <button
          type="button"
          class="icon-button"
          aria-label={dark ? "Use light colours" : "Use dark colours"}
          title={dark ? "Light" : "Dark"}
          onClick={() => setTheme(app, dark ? "light" : "dark")}
        >
          <Icon name={dark ? "sun" : "moon"} />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="New chat"
          title={`New chat (${keyNames("Mod+Shift+O").join("+")})`}
          onClick={() => newChat(app)}
        >
          <Icon name="plus" />
        </button>
        {current && <Menu label="Conversation actions" items={conversationMenu(app, current, () => (renaming.value = true))} />}
      </div>
    </header>
  );
}

function setTheme(app: App, theme: Theme): void {
  app.theme.value = theme;
  applyTheme(theme);
}

function isDark(theme: Theme): boolean {
  return theme === "dark" || (theme === "system" && window.matchMedia("(prefers-color-scheme: dark)").matches);
}
