// Chromium for the tests: Debian's, no download. Each page records what must never happen: violations of the content security
// policy, uncaught errors, requests to another host.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = places.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("No Chromium found. Install it (apt-get install chromium) or set CHROMIUM.");
  // Chromium's sandbox does not start for root, which is who runs tests in containers.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath, args });
}

export async function openPage(browser, url, { width = 1280, height = 800, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, locale: "en-GB", ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env.HEARTH_E2E_TIMEOUT_MS ?? 20_000));
  const trouble = [];
  const host = new URL(url).host;
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol.startsWith("http") && to.host !== host) trouble.push(`request to ${to.host}`);
  });
  page.on("console", (message) => {
    if (/content security policy|trusted ?type/i.test(message.text())) trouble.push(`policy: ${message.text()}`);
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(url);
  await page.locator("#composer-text").waitFor();
  return {
    page,
    context,
    trouble,
    violations: () => page.evaluate(() => window.violations),
    close: () => context.close(),
  };
}

export const composer = (page) => page.locator("#composer-text");
export const answers = (page) => page.locator(".answer");

export async function say(page, text) {
  const before = await answers(page).count();
  await composer(page).fill(text);
  await composer(page).press("Enter");
  await finished(page, before + 1);
}

// The answer is complete: as many answers on the screen, and none still growing.
export async function finished(page, count) {
  await page.waitForFunction(
    (wanted) => document.querySelectorAll(".answer").length === wanted && !document.querySelector('.answer[aria-busy="true"]'),
    count,
    { timeout: Number(process.env.HEARTH_E2E_ANSWER_MS ?? 120_000) },
  );
}
