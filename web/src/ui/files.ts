// Files to and from the user's disk.

import { fileName, fromJson, ImportError, toJson, toMarkdown, type Archive } from "../chat/transfer";
import type { App } from "./context";

export function download(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export type ExportKind = "json" | "markdown";

export async function exportOne(app: App, id: string, kind: ExportKind): Promise<void> {
  const [archive] = await archives(app, [id]);
  if (!archive) return;
  if (kind === "json") download(fileName(archive.conversation.title, "json"), "application/json", toJson([archive], Date.now()));
  else download(fileName(archive.conversation.title, "md"), "text/markdown", toMarkdown(archive));
}

export async function exportAll(app: App): Promise<void> {
  const all = await archives(app, app.chats.list.value.map((item) => item.id));
  if (all.length === 0) app.toast.value = { text: "There is nothing to export yet." };
  else download(`hearth-${new Date().toISOString().slice(0, 10)}.json`, "application/json", toJson(all, Date.now()));
}

async function archives(app: App, ids: string[]): Promise<Archive[]> {
  try {
    return await app.chats.archives(ids);
  } catch {
    app.toast.value = { text: "The browser could not read its storage." };
    return [];
  }
}

// A browser tab that reads a larger file into memory is likely to be killed.
const maxFileBytes = 200 * 1024 * 1024;

export function importFiles(app: App): void {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = ".json,application/json";
  input.multiple = true;
  input.addEventListener("change", () => void readFiles(app, [...(input.files ?? [])]));
  input.click();
}

export async function readFiles(app: App, files: File[]): Promise<void> {
  let count = 0;
  for (const file of files) {
    try {
      if (file.size > maxFileBytes) throw new ImportError("The file is larger than 200 MB.");
      const found = fromJson(await file.text(), Date.now());
      if (!(await app.chats.add(found))) return;
      count += found.length;
      const first = found[0];
      if (first) await app.chats.open(first.conversation.id);
    } catch (error) {
      app.toast.value = { text: `${file.name}: ${error instanceof ImportError ? error.message : "The file could not be read."}` };
      return;
    }
  }
  if (count > 0) app.toast.value = { text: count === 1 ? "One conversation imported." : `${count} conversations imported.` };
}
