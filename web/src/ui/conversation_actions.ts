// What the menus of a conversation offer.

import type { Conversation } from "../chat/types";
import type { App } from "./context";
import { exportOne } from "./files";
import type { MenuItem } from "./menu";

export function conversationMenu(app: App, conversation: Conversation, rename: () => void): MenuItem[] {
  const { id } = conversation;
  return [
    { label: "Rename", icon: "edit", run: rename },
    { label: "Export as Markdown", icon: "export", run: () => void exportOne(app, id, "markdown") },
    { label: "Export as JSON", icon: "export", run: () => void exportOne(app, id, "json") },
    { label: "Delete", icon: "trash", danger: true, run: () => void remove(app, conversation) },
  ];
}

async function remove(app: App, conversation: Conversation): Promise<void> {
  const archive = await app.chats.remove(conversation.id);
  if (!archive) return;
  const restore = async () => {
    if (await app.chats.add([archive])) await app.chats.open(archive.conversation.id);
  };
  app.toast.value = { text: "Conversation deleted.", action: { label: "Undo", run: () => void restore() } };
}
