import type { ServerState } from "../api/monitor";
import { useApp } from "./context";

export function statusText(state: ServerState): string {
  switch (state) {
    case "checking": return "Looking for the server.";
    case "up": return "The server is ready.";
    case "loading": return "The server is still loading its model.";
    case "down": return "The server cannot be reached.";
    case "key": return "The server wants an API key.";
  }
}

// The model's name beside a dot that tells how the server is.
export function ServerStatus() {
  const { monitor, model, dialog } = useApp();
  const state = monitor.state.value;
  const text = state === "up" || state === "checking" ? model() || statusText(state) : statusText(state);
  return (
    <button type="button" class={`server-status is-${state}`} title={statusText(state)} onClick={() => (dialog.value = "settings")}>
      <span class="dot" aria-hidden="true" />
      <span class="server-text">{text}</span>
      <span class="visually-hidden">{statusText(state)} Open the settings.</span>
    </button>
  );
}
