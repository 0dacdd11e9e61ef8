// A conversation as a person has it, in Chromium, against the small test server and, where one is given, the real server
// (see real-server.mjs). Nothing here depends on what the model says.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, beforeEach, afterEach, describe, it } from "node:test";
import { answers, composer, finished, launch, openPage, say } from "./browser.mjs";
import { startFakeServer } from "./fake-server.mjs";
import { startRealServer } from "./real-server.mjs";

const servers = [["the test server", () => startFakeServer()]];
if (process.env.HEARTH_URL || process.env.HEARTH_BIN) servers.push(["the real server", startRealServer]);

const long = "Count slowly from one to five hundred, and write every single number.";

for (const [name, start] of servers) {
  describe(`with ${name}`, () => {
    let server, browser, open;
    before(async () => {
      server = await start();
      browser = await launch();
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
    });
    beforeEach(async () => {
      open = await openPage(browser, server.url);
      await shortAnswers(open.page);
    });
    afterEach(async () => {
      assert.deepEqual(await open.violations(), []);
      assert.deepEqual(open.trouble, []);
      await open.close();
    });

    it("streams an answer and shows its figures", async () => {
      const { page } = open;
      await unlimited(page);
      await composer(page).fill(long);
      await composer(page).press("Enter");
      const lengths = new Set();
      for (let looks = 0; looks < 400 && lengths.size < 4; looks++) {
        lengths.add(((await page.locator(".answer .markdown").first().textContent({ timeout: 60_000 })) ?? "").length);
        await page.waitForTimeout(25);
      }
      assert.ok(lengths.size >= 4, `seen to grow: ${[...lengths]}`);
      await page.keyboard.press("Escape");
      await finished(page, 1);
      assert.match(await page.locator(".stats").innerText(), /tok\/s.*to first token.*tokens?/s);
      assert.equal(await page.locator(".question .bubble").innerText(), long);
      await page.locator(".server-status.is-up").waitFor();
      assert.match(await page.locator(".server-text").innerText(), /\S{3}/);
    });

    it("stops, keeps what had come, and goes on", async () => {
      const { page } = open;
      await unlimited(page);
      await composer(page).fill(long);
      await composer(page).press("Enter");
      await page.locator(".answer .markdown", { hasText: /\w.*\w.*\w/s }).waitFor({ timeout: 60_000 });
      await page.getByRole("button", { name: "Stop the answer" }).click();
      await finished(page, 1);
      const kept = await page.locator(".answer .markdown").innerText();
      assert.ok(kept.length > 0);
      assert.equal(await page.locator(".end-note").innerText(), "Stopped.");
      await shortAnswers(page);
      await say(page, "And now something short.");
      assert.equal(await answers(page).count(), 2);
      assert.equal(await page.locator(".answer .markdown").first().innerText(), kept);
    });

    it("answers again beside the first answer", async () => {
      const { page } = open;
      await say(page, "Say something.");
      const first = await page.locator(".answer .markdown").innerText();
      await page.getByRole("button", { name: "Answer again" }).click();
      await page.getByText("2/2").waitFor();
      await finished(page, 1);
      await page.getByRole("button", { name: "Earlier version" }).click();
      await page.getByText("1/2").waitFor();
      assert.equal(await page.locator(".answer .markdown").innerText(), first);
      await page.reload();
      await page.getByText("1/2").waitFor();
    });

    it("makes a branch of an edited question", async () => {
      const { page } = open;
      await say(page, "One thing.");
      await say(page, "Another thing.");
      await page.locator(".question").first().hover();
      await page.getByRole("button", { name: "Edit message" }).first().click();
      await page.getByLabel("Edit your message").fill("A different thing.");
      await page.keyboard.press("Enter");
      await finished(page, 1);
      assert.deepEqual(await page.locator(".bubble").allInnerTexts(), ["A different thing."]);
      await page.getByRole("button", { name: "Earlier version" }).click();
      assert.deepEqual(await page.locator(".bubble").allInnerTexts(), ["One thing.", "Another thing."]);
      await page.getByRole("button", { name: "Later version" }).click();
      assert.deepEqual(await page.locator(".bubble").allInnerTexts(), ["A different thing."]);
    });

    it("keeps conversations over a reload, finds, renames, deletes and restores them", async () => {
      const { page } = open;
      await say(page, "The first about rivers");
      await page.keyboard.press("Control+Shift+O");
      await page.locator(".welcome").waitFor();
      await say(page, "The second about mountains");
      await page.reload();
      await page.locator(".bubble").waitFor();
      assert.deepEqual(await page.locator(".bubble").allInnerTexts(), ["The second about mountains"]);
      assert.equal(await answers(page).count(), 1);
      assert.deepEqual(await page.locator(".conversation-title").allInnerTexts(), ["The second about mountains", "The first about rivers"]);

      await page.keyboard.press("Control+k");
      await page.keyboard.type("rivers");
      await page.getByText("1 result").waitFor();
      await page.keyboard.press("Enter");
      await page.locator(".bubble", { hasText: "rivers" }).waitFor();
      await page.locator("#search").fill("");

      await page.getByRole("button", { name: "Conversation actions" }).click();
      await page.getByRole("menuitem", { name: "Rename" }).click();
      await page.getByLabel("New title").fill("Water");
      await page.keyboard.press("Enter");
      await page.locator(".conversation-title", { hasText: "Water" }).waitFor();

      await page.getByRole("button", { name: "Conversation actions" }).click();
      await page.getByRole("menuitem", { name: "Delete" }).click();
      await page.locator(".welcome").waitFor();
      assert.equal(await page.locator(".conversation").count(), 1);
      await page.getByRole("button", { name: "Undo" }).click();
      await page.locator(".bubble", { hasText: "rivers" }).waitFor();
      await page.reload();
      await page.locator(".conversation-title", { hasText: "Water" }).waitFor();
      await page.goBack();
    });

    it("exports as Markdown and as JSON, and imports that again", async () => {
      const { page } = open;
      await say(page, "Export me");
      const take = async (item) => {
        await page.getByRole("button", { name: "Conversation actions" }).click();
        const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: item }).click()]);
        return { name: file.suggestedFilename(), path: await file.path() };
      };
      const markdown = await take("Export as Markdown");
      assert.equal(markdown.name, "export-me.md");
      assert.match(await readFile(markdown.path, "utf8"), /^# Export me\n\n## You\n\nExport me\n\n## /);
      const json = await take("Export as JSON");
      const data = JSON.parse(await readFile(json.path, "utf8"));
      assert.equal(data.conversations[0].messages.length, 2);

      await page.keyboard.press("Control+,");
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.getByRole("button", { name: /Import/ }).click()]);
      await chooser.setFiles(json.path);
      await page.getByText("One conversation imported.").waitFor();
      assert.equal(await page.locator(".conversation").count(), 2);
    });

    it("is dark when the system is, and when the reader says so", async () => {
      const { page } = open;
      const brightness = () => page.evaluate(() => {
        const canvas = document.createElement("canvas").getContext("2d");
        canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data[0];
      });
      await page.emulateMedia({ colorScheme: "light" });
      assert.ok((await brightness()) > 200);
      await page.emulateMedia({ colorScheme: "dark" });
      assert.ok((await brightness()) < 60);
      await page.reload();
      await page.getByRole("button", { name: "Use light colours" }).click();
      assert.ok((await brightness()) > 200);
      await page.reload();
      assert.ok((await brightness()) > 200);
      await page.getByRole("button", { name: "Use dark colours" }).click();
      assert.ok((await brightness()) < 60);
    });

    it("needs no mouse", async () => {
      const { page } = open;
      const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id);
      assert.equal(await focused(), "Message");
      await page.keyboard.type("Line one");
      await page.keyboard.press("Shift+Enter");
      await page.keyboard.type("line two");
      await page.keyboard.press("Enter");
      await finished(page, 1);
      assert.equal(await page.locator(".bubble").innerText(), "Line one\nline two");

      await page.keyboard.press("Alt+r");
      await page.getByText("2/2").waitFor();
      await finished(page, 1);

      await page.keyboard.press("ArrowUp");
      await page.getByLabel("Edit your message").waitFor();
      assert.equal(await focused(), "Edit your message");
      await page.keyboard.press("Escape");
      await page.locator(".editor").waitFor({ state: "detached" });

      await page.keyboard.press("?");
      await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });

      // The dialog gives the focus back a moment after it is gone.
      await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") !== "Close");
      await page.keyboard.press("Control+k");
      await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Search conversations");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Tab");
      assert.match(await focused(), /^Actions for/);
      await page.keyboard.press("Enter");
      await page.keyboard.press("ArrowUp");
      await page.keyboard.press("Enter"); // the last: delete
      await page.locator(".welcome").waitFor();
      await page.keyboard.press("Control+Shift+O");
      await page.waitForFunction(() => document.activeElement?.id === "composer-text");
    });

    it("fits a narrow screen, where the sidebar is a drawer", async () => {
      const { page } = open;
      await page.setViewportSize({ width: 360, height: 640 });
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      const clipped = () => page.evaluate(() => [...document.querySelectorAll("main *")].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && box.right > window.innerWidth + 1 && !element.closest("pre, .table-scroll, .visually-hidden");
      }).map((element) => element.className || element.tagName));
      assert.equal(await overflow(), 0);
      await say(page, "Something wide, please");
      assert.equal(await overflow(), 0);
      assert.deepEqual(await clipped(), []);
      assert.equal(await page.locator(".sidebar").isVisible(), false);
      await page.getByRole("button", { name: "Show or hide the sidebar" }).click();
      await page.locator(".conversation-link").click();
      await page.locator(".sidebar").waitFor({ state: "hidden" });
      await page.getByRole("button", { name: "Show or hide the sidebar" }).click();
      await page.getByRole("button", { name: "Settings", exact: true }).first().click();
      await page.getByRole("dialog", { name: "Settings" }).waitFor();
      assert.equal(await overflow(), 0);
    });

    it("uses a wide screen, with the sidebar beside the conversation", async () => {
      const { page } = open;
      await page.setViewportSize({ width: 1440, height: 900 });
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      const box = async (selector) => page.locator(selector).first().boundingBox();
      assert.equal(await overflow(), 0);
      await say(page, "Something wide, please");
      assert.equal(await overflow(), 0);
      assert.equal(await page.locator(".sidebar").isVisible(), true);
      const sidebar = await box(".sidebar");
      const main = await box("main");
      const bubble = await box(".bubble");
      const composer = await box("#composer-text");
      assert.ok(sidebar.x === 0 && sidebar.x + sidebar.width <= main.x + 1, "the sidebar covers the conversation");
      assert.ok(main.x + main.width >= 1439, "the conversation leaves a part of the screen empty");
      for (const part of [bubble, composer]) {
        assert.ok(part.x >= main.x && part.x + part.width <= main.x + main.width, "something sticks out of the conversation");
      }
      // Lines that the eye can follow, in the middle of what is there.
      assert.ok(composer.width <= 1000, `a line of ${composer.width} px`);
      const left = composer.x - main.x;
      const right = main.x + main.width - composer.x - composer.width;
      assert.ok(Math.abs(left - right) < 120, `not in the middle: ${left} px on the left, ${right} px on the right`);
      // The sidebar is no drawer: choosing a conversation leaves it open.
      await page.locator(".conversation-link").click();
      assert.equal(await page.locator(".sidebar").isVisible(), true);
      await page.keyboard.press("Control+,");
      await page.getByRole("dialog", { name: "Settings" }).waitFor();
      assert.equal(await overflow(), 0);
    });

    it("sends the settings that were made", async () => {
      const { page } = open;
      await page.keyboard.press("Control+,");
      await page.getByLabel("For every chat").fill("Answer in one word.");
      await page.getByLabel("Temperature").fill("0");
      await page.getByLabel("Seed").fill("7");
      await page.getByLabel("Top P").fill("3");
      await page.getByText("From 0 to 1.").waitFor();
      await page.keyboard.press("Escape");
      const [request] = await Promise.all([page.waitForRequest("**/v1/chat/completions"), say(page, "Hello")]);
      const body = request.postDataJSON();
      assert.equal(body.temperature, 0);
      assert.equal(body.seed, 7);
      assert.equal(body.top_p, 0.95);
      assert.deepEqual(body.messages, [{ role: "system", content: "Answer in one word." }, { role: "user", content: "Hello" }]);
    });
  });
}

// Keeps a real model's answers short.
async function shortAnswers(page) {
  await setSampling(page, { max_tokens: 24, temperature: 0 });
}

async function unlimited(page) {
  await setSampling(page, { temperature: 0 });
}

async function setSampling(page, sampling) {
  await page.evaluate((wanted) => localStorage.setItem("hearth.settings", JSON.stringify({ sampling: wanted })), sampling);
  await page.reload();
  await composer(page).waitFor();
}
