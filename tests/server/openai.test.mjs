// The server as the openai package of npm sees it. HEARTH_URL: a running server; HEARTH_API_KEY: its key, if any.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.HEARTH_URL}/v1`, apiKey: process.env.HEARTH_API_KEY ?? "none", maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const request = { model, messages: [{ role: "user", content: "Say hello." }], max_tokens: 16, temperature: 0 };

test("an answer is whole", async () => {
  const answer = await client.chat.completions.create(request);
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a stream says the same as an answer", async () => {
  const whole = await client.chat.completions.create(request);
  const stream = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the streaming helper gathers the message", async () => {
  const final = await client.chat.completions.stream({ ...request, n: 2 }).finalChatCompletion();
  assert.equal(final.choices.length, 2);
});

test("errors are typed and name the field", async () => {
  await assert.rejects(client.chat.completions.create({ ...request, temperature: "hot" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.equal(error.code, "invalid_type");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...request, model: "no-such-model" }), OpenAI.NotFoundError);
});

test("text completion", async () => {
  const answer = await client.completions.create({ model, prompt: ["One", "Two"], max_tokens: 3 });
  assert.equal(answer.choices.length, 2);
});

test("an aborted stream ends", async () => {
  const controller = new AbortController();
  const stream = await client.chat.completions.create({ ...request, max_tokens: 2000, stream: true }, { signal: controller.signal });
  let chunks = 0;
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    if (++chunks === 3) controller.abort();
  }
  assert.ok(chunks < 2000);
});
