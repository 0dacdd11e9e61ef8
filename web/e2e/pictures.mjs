// Pictures of the page for looking at: `node e2e/pictures.mjs FOLDER` writes the main views at 1440 and 360 pixels, light and
// dark. The conversation is the real server's where one is given (see real-server.mjs), else the test server's.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { launch, openPage, say } from "./browser.mjs";
import { startFakeServer } from "./fake-server.mjs";
import { fillHistory } from "./history.mjs";
import { startRealServer } from "./real-server.mjs";

const folder = process.argv[2];
if (!folder) throw new Error("usage: node e2e/pictures.mjs FOLDER");
await mkdir(folder, { recursive: true });

const server = (await startRealServer()) ?? (await startFakeServer());
const browser = await launch();
for (const [width, height] of [[1440, 900], [360, 740]]) {
  for (const colorScheme of ["light", "dark"]) {
    const { page, close } = await openPage(browser, server.url, { width, height, colorScheme, deviceScaleFactor: width < 500 ? 2 : 1, hasTouch: width < 500 });
    const shoot = (name) => page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`) });
    await page.locator(".server-status.is-up").waitFor();
    await shoot("welcome");
    await fillHistory(page);
    await say(page, "Write a Python function that tells whether a word is a palindrome, and explain it.");
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.getByText("2/2").waitFor();
    await page.waitForFunction(() => !document.querySelector('.answer[aria-busy="true"]'));
    await page.mouse.move(width / 2, 10);
    await page.locator(".scroller").evaluate((element) => (element.scrollTop = 0));
    await page.waitForTimeout(250);
    await shoot("conversation");
    await page.locator(".scroller").evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.waitForTimeout(250);
    await shoot("end");
    if (width < 500) {
      await page.getByRole("button", { name: "Show or hide the sidebar" }).click();
      await page.waitForTimeout(300);
      await shoot("drawer");
      await page.keyboard.press("Escape");
    }
    await page.keyboard.press("Control+,");
    await page.waitForTimeout(300);
    await shoot("settings");
    await page.keyboard.press("Escape");
    await page.locator("h1").click();
    await page.keyboard.press("?");
    await page.waitForTimeout(300);
    await shoot("help");
    await page.keyboard.press("Escape");
    server.state?.failures.push({ status: 400, body: { error: { message: "2100 tokens, 2048 fit", code: "context_length_exceeded" } } });
    await say(page, "And in C?");
    await page.locator(".question").last().hover();
    await page.waitForTimeout(200);
    await shoot("failure");
    await close();
  }
}
await browser.close();
await server.stop();
