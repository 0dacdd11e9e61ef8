// Takes the README's picture, docs/images/page.png: a conversation with the real server (see real-server.mjs), so that the
// figures under the answer are true. A quiet machine gives the figures of that machine.
// HEARTH_BIN=../build/release/hearth HEARTH_MODEL=coder.gguf node e2e/readme-picture.mjs

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launch, openPage, say } from "./browser.mjs";
import { fillHistory } from "./history.mjs";
import { startRealServer } from "./real-server.mjs";

const target = fileURLToPath(new URL("../../docs/images/page.png", import.meta.url));
const question = "Write a Python function that recognises palindromes.";

const server = await startRealServer();
if (!server) throw new Error("Set HEARTH_BIN or HEARTH_URL: the picture is of the real server.");
const browser = await launch();
const { page } = await openPage(browser, server.url, { width: 1280, height: 1000, colorScheme: "light" });
await fillHistory(page);
await page.evaluate(() => localStorage.setItem("hearth.settings", JSON.stringify({ sampling: { temperature: 0 } })));
await page.reload();
await page.locator(".server-status.is-up").waitFor();
await say(page, question);
await page.mouse.move(640, 2);
await page.waitForTimeout(400);
await mkdir(fileURLToPath(new URL(".", `file://${target}`)), { recursive: true });
await page.screenshot({ path: target });
await browser.close();
await server.stop();
