// The server under test: HEARTH_URL if it runs already, else the binary HEARTH_BIN with the model HEARTH_MODEL, or one of HEARTH_MODELS,
// on a free port. Null where neither is given.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";

const modelFile = "SmolLM2-135M-Instruct.Q4_1.gguf";
const startLimitMs = 120_000;

export async function startRealServer() {
  if (process.env.HEARTH_URL) return { url: process.env.HEARTH_URL.replace(/\/$/, ""), stop: async () => {} };
  const binary = process.env.HEARTH_BIN;
  if (!binary) return null;
  const model = process.env.HEARTH_MODEL ?? join(process.env.HEARTH_MODELS ?? join(homedir(), ".cache/hearth-models"), modelFile);
  if (!existsSync(model)) throw new Error(`There is no model ${model}; set HEARTH_MODELS.`);
  const port = await freePort();
  const child = spawn(binary, ["serve", "--model", model, "--port", String(port)], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (output = (output + piece).slice(-4000)));
  const url = `http://127.0.0.1:${port}`;
  await ready(url, child, () => output);
  return {
    url,
    stop: () => new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve();
      child.once("exit", resolve);
      child.kill("SIGTERM");
    }),
  };
}

async function ready(url, child, output) {
  const deadline = Date.now() + startLimitMs;
  while (Date.now() < deadline) {
    const end = child.exitCode ?? child.signalCode;
    if (end !== null) throw new Error(`The server ended with ${end}:\n${output()}`);
    const response = await fetch(`${url}/v1/models`).catch(() => null);
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  child.kill("SIGKILL");
  throw new Error(`The server did not become ready:\n${output()}`);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
