// A small server that speaks OpenAI's API and serves the built page, for tests of the page without a model. What it answers
// depends on the last message: see `scripts`. Run it by hand with `node e2e/fake-server.mjs [port]`.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

// Everything that an answer could try in order to run or to fetch something.
const hostile = [
  "<script>window.hacked = 1</script>",
  "<img src=x onerror='window.hacked = 1'>",
  "![pixel](https://evil.example/pixel.png)",
  "[click](javascript:window.hacked=1)",
  "<svg onload='window.hacked = 1'></svg>",
  "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
  "```html\n<script>window.hacked = 1</script>\n```",
  "```\"><img src=x onerror=window.hacked=1>\nx\n```",
  "<style>body { display: none }</style>",
  "| <img src=x onerror='window.hacked = 1'> |\n|-|\n| x |",
  "End of the attack.",
].join("\n\n");

const showcase = `A word is a **palindrome** if it reads the same both ways. Compare it with its own reverse, once case and punctuation are gone:

\`\`\`python
def is_palindrome(text: str) -> bool:
    """True if \`text\` reads the same forwards and backwards."""
    letters = [c.lower() for c in text if c.isalnum()]
    return letters == letters[::-1]


print(is_palindrome("Was it a car or a cat I saw?"))  # True
print(is_palindrome("Hearth"))                        # False
\`\`\`

How it works:

1. \`c.isalnum()\` keeps letters and digits only.
2. \`letters[::-1]\` is a reversed copy of the list.
3. The comparison takes time and memory in proportion to the length.

| Input | Result |
|:--|--:|
| \`"level"\` | True |
| \`"Hearth"\` | False |
`;

const scripts = [
  [/attack/i, () => ({ text: hostile })],
  [/palindrome/i, () => ({ text: showcase })],
  [/count slowly/i, () => ({ text: Array.from({ length: 400 }, (_, n) => `${n + 1}`).join(" "), delayMs: 40 })],
  [/long answer/i, () => ({ text: Array.from({ length: 120 }, (_, n) => `Paragraph ${n + 1} of a long answer.`).join("\n\n"), delayMs: 1 })],
  [/wide/i, () => ({ text: `${"W".repeat(300)}\n\n| ${"column | ".repeat(12)}\n|${"-|".repeat(12)}\n| ${"value | ".repeat(12)}\n\n\`\`\`\n${"x".repeat(300)}\n\`\`\`` })],
];

export async function startFakeServer({ port = 0, policy = true } = {}) {
  const state = {
    requests: [], // bodies of chat requests
    disconnected: 0, // answers that the client left
    failures: [], // what the next requests get instead of an answer: {status, headers, body}
    key: "", // set: asked for
    answers: 0,
  };
  const header = (await readFile(new URL("../content-security-policy.txt", import.meta.url), "utf8")).trim();

  async function sendFile(path, response) {
    const name = normalize(path === "/" ? "/index.html" : path);
    try {
      const body = await readFile(join(dist, name));
      response.writeHead(200, {
        "Content-Type": types[extname(name)] ?? "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        ...(policy ? { "Content-Security-Policy": header } : {}),
      });
      response.end(body);
    } catch {
      sendJson(response, 404, { error: { message: "not found", type: "invalid_request_error" } });
    }
  }

  async function chat(body, request, response) {
    state.requests.push(body);
    const failure = state.failures.shift();
    if (failure) return sendJson(response, failure.status, failure.body ?? {}, failure.headers);
    const last = body.messages.at(-1)?.content ?? "";
    const make = scripts.find(([pattern]) => pattern.test(last))?.[1];
    const { text, delayMs = 4 } = make ? make() : { text: `Answer ${++state.answers} to **${last.slice(0, 60)}**.` };
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    let open = true;
    response.on("close", () => (open = false));
    const send = (chunk) => response.write(`data: ${JSON.stringify({ object: "chat.completion.chunk", model: body.model, ...chunk })}\n\n`);
    const pieces = text.match(/\s*\S+|\s+$/g) ?? [];
    await pause(30);
    for (const content of pieces) {
      if (!open) {
        state.disconnected++;
        return;
      }
      send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
      await pause(delayMs);
    }
    send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
    const prompt = body.messages.reduce((sum, message) => sum + message.content.split(/\s+/).length, 10);
    if (body.stream_options?.include_usage) {
      send({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: pieces.length, total_tokens: prompt + pieces.length } });
    }
    response.end("data: [DONE]\n\n");
  }

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    if (pathname === "/health") return sendJson(response, 200, { status: "ok" });
    if (!pathname.startsWith("/v1/")) return void sendFile(pathname, response);
    if (state.key !== "" && request.headers.authorization !== `Bearer ${state.key}`) {
      return sendJson(response, 401, { error: { message: "missing or wrong API key", type: "authentication_error", code: "invalid_api_key" } });
    }
    if (pathname === "/v1/models") {
      return sendJson(response, 200, { object: "list", data: [{ id: "SmolLM2-135M-Instruct", object: "model", max_model_len: 2048 }] });
    }
    if (pathname !== "/v1/chat/completions") return sendJson(response, 404, { error: { message: "not found" } });
    let text = "";
    request.on("data", (piece) => (text += piece));
    request.on("end", () => void chat(JSON.parse(text), request, response));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    state,
    stop: () => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  };
}

function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startFakeServer({ port: Number(process.argv[2] ?? 8080) });
  console.log(url);
}
