// What can go wrong: hostile answers, a server that is busy, closed, gone, or full. Against the test server, which can be told
// to do these things.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { answers, composer, finished, launch, openPage, say } from "./browser.mjs";
import { startFakeServer } from "./fake-server.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

describe("a hostile answer", () => {
  // Also with no policy in the header: then only the page's own defence stands.
  for (const policy of [true, false]) {
    it(`runs nothing and fetches nothing, ${policy ? "with" : "without"} the header`, async () => {
      const server = await startFakeServer({ policy });
      const open = await openPage(browser, server.url);
      try {
        await say(open.page, "Attack!");
        await open.page.locator(".answer").getByText("End of the attack.").waitFor();
        await open.page.reload();
        await open.page.locator(".answer").getByText("End of the attack.").waitFor();
        assert.equal(await open.page.evaluate(() => window.hacked), undefined);
        assert.equal(await open.page.locator(".answer :is(img, script, iframe, style, [onerror])").count(), 0);
        assert.deepEqual(await open.page.locator(".answer a").evaluateAll((links) => links.map((link) => [link.href, link.rel, link.target])), [
          ["https://evil.example/pixel.png", "noopener noreferrer nofollow", "_blank"],
        ]);
        assert.deepEqual(await open.violations(), []);
        assert.deepEqual(open.trouble, []);
      } finally {
        await open.close();
        await server.stop();
      }
    });
  }

  it("would meet the policy if it got into the page", async () => {
    const server = await startFakeServer();
    const open = await openPage(browser, server.url);
    try {
      const run = await open.page.evaluate(() => {
        const script = document.createElement("script");
        try {
          script.textContent = "window.hacked = 1";
          document.body.append(script);
        } catch {
          // Trusted types refuse the text itself.
        }
        return window.hacked;
      });
      assert.equal(run, undefined);
      assert.notDeepEqual(await open.violations(), []);
    } finally {
      await open.close();
      await server.stop();
    }
  });
});

describe("a server in trouble", () => {
  let server, open, page;
  beforeEach(async () => {
    server = await startFakeServer();
    open = await openPage(browser, server.url);
    page = open.page;
  });
  afterEach(async () => {
    await open.close();
    await server.stop();
  });

  it("that is busy is asked again after the time it named", async () => {
    server.state.failures.push({ status: 429, headers: { "Retry-After": "1" }, body: { error: { message: "queue full" } } });
    await composer(page).fill("Hello");
    await composer(page).press("Enter");
    await page.getByText(/Trying again in \d+\ss/).waitFor();
    await finished(page, 1);
    assert.match(await answers(page).innerText(), /Answer 1/);
    assert.equal(server.state.requests.length, 2);
  });

  it("can be left while it is busy", async () => {
    server.state.failures.push({ status: 429, headers: { "Retry-After": "30" } });
    await composer(page).fill("Hello");
    await composer(page).press("Enter");
    await page.getByText(/Trying again in/).waitFor();
    await page.keyboard.press("Escape");
    await finished(page, 1);
    assert.match(await answers(page).innerText(), /Stopped/);
  });

  it("that wants a key gets it from the settings", async () => {
    server.state.key = "sesame";
    await say(page, "Hello");
    await page.getByRole("button", { name: "Enter the key" }).click();
    await page.getByLabel("API key").fill("sesame");
    await page.keyboard.press("Tab");
    await page.locator(".server-status.is-up").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".answer").getByText(/Answer 1/).waitFor();
  });

  it("whose context is full says what to do", async () => {
    server.state.failures.push({ status: 400, body: { error: { message: "2100 tokens, 2048 fit", code: "context_length_exceeded" } } });
    await say(page, "Hello");
    assert.match(await page.getByRole("alert").innerText(), /longer than the model can read.*2048/s);
    await page.getByRole("alert").getByRole("button", { name: "New chat" }).click();
    await page.locator(".welcome").waitFor();
  });

  it("that is gone is named, and found again", async () => {
    await page.locator(".server-status.is-up").waitFor();
    const port = Number(new URL(server.url).port);
    await server.stop();
    await say(page, "Hello?");
    assert.match(await page.getByRole("alert").innerText(), /could not be reached/);
    server = await startFakeServer({ port });
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".answer").getByText(/Answer 1/).waitFor();
  });

  it("that dies in the middle loses nothing of what had come", async () => {
    await composer(page).fill("count slowly");
    await composer(page).press("Enter");
    await page.locator(".answer .markdown").waitFor();
    await server.stop();
    await finished(page, 1);
    assert.match(await page.getByRole("alert").innerText(), /connection was lost/);
    assert.match(await page.locator(".answer .markdown").innerText(), /^1 2/);
    server = await startFakeServer();
  });

  it("hears of a stop", async () => {
    await composer(page).fill("count slowly");
    await composer(page).press("Enter");
    await page.locator(".answer .markdown").waitFor();
    await page.keyboard.press("Escape");
    await finished(page, 1);
    for (let waited = 0; server.state.disconnected === 0 && waited < 2000; waited += 50) await page.waitForTimeout(50);
    assert.equal(server.state.disconnected, 1);
  });
});

it("a reload in the middle of an answer keeps what had come", async () => {
  const server = await startFakeServer();
  const open = await openPage(browser, server.url);
  const { page } = open;
  await composer(page).fill("count slowly");
  await composer(page).press("Enter");
  await page.waitForTimeout(3500);
  await page.reload();
  await page.locator(".answer").getByText("Stopped.").waitFor();
  assert.match(await page.locator(".answer .markdown").innerText(), /^1 2 3/);
  await open.close();
  await server.stop();
});

it("a long answer is followed to its end, unless the reader scrolls up", async () => {
  const server = await startFakeServer();
  const open = await openPage(browser, server.url);
  const { page } = open;
  const left = () => page.locator(".scroller").evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  await say(page, "A long answer");
  assert.ok((await left()) < 50);
  await composer(page).fill("Another long answer");
  await composer(page).press("Enter");
  await page.locator(".answer").nth(1).getByText("Paragraph 10 ").waitFor();
  await page.mouse.move(600, 300);
  await page.mouse.wheel(0, -2000);
  await page.waitForTimeout(100);
  const top = await page.locator(".scroller").evaluate((element) => element.scrollTop);
  await finished(page, 2);
  assert.ok(Math.abs((await page.locator(".scroller").evaluate((element) => element.scrollTop)) - top) < 5);
  await page.getByRole("button", { name: "Go to the end" }).click();
  assert.ok((await left()) < 50);
  await open.close();
  await server.stop();
});

it("code is copied as it stands", async () => {
  const server = await startFakeServer();
  const open = await openPage(browser, server.url);
  const { page } = open;
  await say(page, "palindrome");
  await page.getByRole("button", { name: "Copy code" }).click();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def is_palindrome\(text: str\) -> bool:\n {4}"""True/);
  assert.deepEqual(await open.violations(), []);
  await open.close();
  await server.stop();
});

it("two tabs see each other's conversations", async () => {
  const server = await startFakeServer();
  const open = await openPage(browser, server.url);
  const other = await open.context.newPage();
  await other.goto(server.url);
  await say(open.page, "From the first tab");
  await other.locator(".conversation-link", { hasText: "From the first tab" }).click();
  await other.locator(".answer").getByText(/Answer 1/).waitFor();
  await open.close();
  await server.stop();
});

describe("the browser's storage", () => {
  let server, open, page;
  beforeEach(async () => {
    server = await startFakeServer();
    open = await openPage(browser, server.url);
    page = open.page;
  });
  afterEach(async () => {
    await open.close();
    await server.stop();
  });

  it("that is full is named, and the conversation goes on", async () => {
    const devtools = await open.context.newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 1 });
    await composer(page).fill(`Long: ${"x".repeat(300_000)}`);
    await composer(page).press("Enter");
    await finished(page, 1);
    await page.getByText(/storage is full/).waitFor();
    await say(page, "Still there?");
    assert.equal(await answers(page).count(), 2);
  });

  it("with damaged records still gives what is whole", async () => {
    await say(page, "Whole conversation");
    await page.evaluate(() => new Promise((resolve, reject) => {
      const request = indexedDB.open("hearth");
      request.onerror = reject;
      request.onsuccess = () => {
        const change = request.result.transaction(["conversations", "messages"], "readwrite");
        change.objectStore("conversations").put({ id: "broken", title: 7 });
        change.objectStore("conversations").put({ id: "halfway" });
        change.objectStore("messages").put({ id: "lost", conversation: "nowhere", parent: "none" });
        change.oncomplete = () => resolve(request.result.close());
      };
    }));
    await page.evaluate(() => localStorage.setItem("hearth.settings", "{not json"));
    await page.reload();
    await page.locator(".bubble", { hasText: "Whole conversation" }).waitFor();
    assert.equal(await page.locator(".conversation").count(), 1);
    assert.deepEqual(open.trouble, []);
  });

  it("of another shape than ours is reported and costs only the keeping", async () => {
    await page.goto(`${server.url}/favicon.svg`);
    await page.evaluate(() => new Promise((resolve, reject) => {
      const gone = indexedDB.deleteDatabase("hearth");
      gone.onerror = reject;
      gone.onsuccess = () => {
        const request = indexedDB.open("hearth", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("foreign");
        request.onsuccess = () => resolve(request.result.close());
      };
    }));
    await page.goto(server.url);
    await page.getByText(/could not read or write its storage/).waitFor();
    await say(page, "Hello");
    assert.equal(await answers(page).count(), 1);
    assert.deepEqual(open.trouble, []);
  });
});
