// Writes third-party.txt: the npm packages whose code is in the built page, with their licences in full. What is in it comes
// from the bundler, not from package.json, so that nothing is missing and nothing is listed that is not shipped.
// `--check` compares instead, and fails when the file is out of date.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "third-party.txt");

async function bundledFolders() {
  const result = await build({ root, logLevel: "error", build: { write: false } });
  const folders = new Set();
  for (const { output } of [result].flat()) {
    for (const chunk of output) {
      for (const id of chunk.type === "chunk" ? chunk.moduleIds : []) {
        const folder = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
        if (folder) folders.add(folder);
      }
    }
  }
  return [...folders];
}

function entry(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((item) => /^(licen[cs]e|copying)/i.test(item));
  if (!file) throw new Error(`${name} carries no licence text; look at it by hand.`);
  return { name, head: `${name} ${version} (${license})`, text: readFileSync(join(folder, file), "utf8").replace(/\r\n/g, "\n").trim() };
}

const entries = (await bundledFolders()).map(entry).sort((a, b) => (a.name < b.name ? -1 : 1));
const rule = "=".repeat(100);
const text = [
  "The chat page contains code of these packages from npm. Made by `npm run licenses`.",
  entries.map((item) => `  ${item.head}`).join("\n"),
  ...entries.map((item) => `${rule}\n${item.head}\n${rule}\n\n${item.text}`),
].join("\n\n") + "\n";

if (!process.argv.includes("--check")) writeFileSync(target, text);
else if (!existsSync(target) || readFileSync(target, "utf8") !== text) {
  console.error("web/third-party.txt is out of date: run `npm run licenses`.");
  process.exit(1);
}
