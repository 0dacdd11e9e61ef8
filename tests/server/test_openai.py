"""The server as the openai package sees it. HEARTH_URL: a running server; HEARTH_API_KEY: its key, if any."""

import base64
import os
import struct
import threading
import time
import unittest
import urllib.request

import openai

URL = os.environ["HEARTH_URL"]
KEY = os.environ.get("HEARTH_API_KEY", "none")
EMBED_URL = os.environ.get("HEARTH_EMBED_URL")


def make_client(**options):
    return openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, **options)


def metric(name):
    request = urllib.request.Request(URL + "/metrics", headers={"Authorization": "Bearer " + KEY})
    with urllib.request.urlopen(request) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


HI = [{"role": "user", "content": "Say hello."}]


class ChatTest(unittest.TestCase):
    def setUp(self):
        self.client = make_client()
        self.model = self.client.models.list().data[0].id
        self.addCleanup(self.client.close)

    def chat(self, **options):
        options = {"model": self.model, "messages": HI, "max_tokens": 16, "temperature": 0} | options
        return self.client.chat.completions.create(**options)

    def test_models_can_be_listed_and_retrieved(self):
        self.assertEqual(self.client.models.retrieve(self.model).id, self.model)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("no-such-model")

    def test_an_answer_is_whole(self):
        answer = self.chat()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertTrue(answer.choices[0].message.content)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertLessEqual(answer.usage.completion_tokens, 16)
        self.assertTrue(answer._request_id)

    def test_a_stream_says_the_same_as_an_answer(self):
        whole = self.chat().choices[0].message.content
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), whole)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertIsNotNone(chunks[-1].usage)
        self.assertEqual(chunks[-1].choices, [])
        self.assertIn(chunks[-2].choices[0].finish_reason, ("stop", "length"))

    def test_a_seed_repeats_and_choices_differ(self):
        def texts(seed):
            answer = self.chat(n=3, seed=seed, temperature=1.5, max_tokens=24)
            return [choice.message.content for choice in answer.choices]

        first = texts(7)
        self.assertEqual(first, texts(7))
        if not os.environ.get("HEARTH_FAKE"):
            self.assertGreater(len(set(first)), 1)
            self.assertNotEqual(first, texts(8))

    def test_stop_strings_end_the_answer_and_are_not_in_it(self):
        whole = self.chat(max_tokens=32).choices[0].message.content
        stop = whole[1]
        answer = self.chat(max_tokens=32, stop=[stop]).choices[0]
        self.assertEqual(answer.message.content, whole[: whole.index(stop)])
        self.assertEqual(answer.finish_reason, "stop")

    def test_logprobs_come_with_alternatives(self):
        content = self.chat(logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
        self.assertTrue(content)
        for token in content:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertEqual(bytes(token.bytes).decode(errors="replace"), token.token)
            # Greedy: the chosen token is the likeliest.
            self.assertEqual(token.top_logprobs[0].token, token.token)

    @unittest.skipIf(os.environ.get("HEARTH_FAKE"), "the scripted backend does not sample")
    def test_a_bias_can_forbid_and_force(self):
        def tokenize(text):
            body = self.client.post("/../tokenize", body={"content": text}, cast_to=object)
            return body["tokens"]

        forced = tokenize("!")[0]
        answer = self.chat(logit_bias={str(forced): 100}, max_tokens=4)
        self.assertEqual(answer.choices[0].message.content, "!!!!")

    def test_parts_system_and_tools_are_read(self):
        tools = [{"type": "function", "function": {"name": "now", "description": "the time", "parameters": {"type": "object", "properties": {}}}}]
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
        self.assertIsNotNone(self.chat(messages=messages, tools=tools).choices[0].message.content)
        self.assertIsNotNone(self.chat(messages=messages, tools=tools, tool_choice="none").choices[0].message.content)

    def test_errors_are_typed_and_name_the_field(self):
        cases = [
            (dict(temperature=9), "temperature"),
            (dict(messages=[]), "messages"),
            (dict(messages=[{"role": "wizard", "content": "x"}]), "messages[0].role"),
            (dict(response_format={"type": "json_object"}), "response_format"),
            (dict(extra_body={"top_k": "many"}), "top_k"),
            (dict(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="required"), "tool_choice"),
        ]
        for options, param in cases:
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(**options)
            self.assertEqual(caught.exception.param, param)
            self.assertTrue(caught.exception.code)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="no-such-model")
        self.assertEqual(caught.exception.code, "model_not_found")

    def test_a_prompt_beyond_the_context_is_said_so(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(messages=[{"role": "user", "content": "long " * 200_000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_unknown_fields_pass(self):
        self.chat(user="me", metadata={"a": "b"}, extra_body={"something_new": {"x": 1}, "min_p": 0.1, "top_k": 5})

    def test_a_client_that_leaves_stops_its_work(self):
        before = metric("vllm:request_success_total")
        stream = self.chat(stream=True, max_tokens=4000, extra_body={"ignore_eos": True})
        next(iter(stream))
        self.assertEqual(metric("vllm:num_requests_running"), 1)
        stream.close()
        self.assertTrue(wait_until(lambda: metric("vllm:num_requests_running") == 0, seconds=2))
        self.assertEqual(metric("vllm:request_success_total"), before + 1)

    def test_many_clients_at_once_get_what_one_gets(self):
        alone = self.chat().choices[0].message.content
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.chat().choices[0].message.content)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [alone] * 8)

    def test_a_wrong_key_is_refused(self):
        if KEY == "none":
            self.skipTest("the server has no key")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0).models.list()


class CompletionTest(unittest.TestCase):
    def setUp(self):
        self.client = make_client()
        self.model = self.client.models.list().data[0].id
        self.addCleanup(self.client.close)

    def complete(self, **options):
        return self.client.completions.create(**({"model": self.model, "max_tokens": 4, "temperature": 0} | options))

    def tokenize(self, text):
        return self.client.post("/../tokenize", body={"prompt": text}, cast_to=object)["tokens"]

    def test_prompts_of_all_shapes(self):
        text = self.complete(prompt="The sky is").choices[0].text
        tokens = self.tokenize("The sky is")
        self.assertEqual(self.complete(prompt=tokens).choices[0].text, text)
        both = self.complete(prompt=["The sky is", "Two and two"]).choices
        self.assertEqual([choice.index for choice in both], [0, 1])
        self.assertEqual(both[0].text, text)
        self.assertEqual(self.complete(prompt=[tokens, tokens]).choices[1].text, text)

    def test_echo_with_logprobs_serves_evaluation_harnesses(self):
        tokens = self.tokenize("The capital of France is Paris.")
        choice = self.complete(prompt=[tokens], max_tokens=1, echo=True, logprobs=1).choices[0]
        logprobs = choice.logprobs
        self.assertEqual(len(logprobs.tokens), len(tokens) + 1)
        self.assertIsNone(logprobs.token_logprobs[0])
        for value, top in list(zip(logprobs.token_logprobs, logprobs.top_logprobs))[1:]:
            self.assertLessEqual(value, 0)
            self.assertLessEqual(value, max(top.values()) + 1e-6)
        self.assertTrue(choice.text.endswith("".join(logprobs.tokens[-1:])))
        self.assertEqual(logprobs.text_offset[0], 0)

    def test_streams(self):
        whole = self.complete(prompt="Once upon").choices[0].text
        self.assertEqual("".join(c.choices[0].text for c in self.complete(prompt="Once upon", stream=True)), whole)


@unittest.skipUnless(EMBED_URL, "no embedding server: HEARTH_EMBED_URL is not set")
class EmbeddingTest(unittest.TestCase):
    def test_floats_and_base64_agree_and_have_unit_length(self):
        client = openai.OpenAI(base_url=EMBED_URL + "/v1", api_key=KEY, max_retries=0)
        model = client.models.list().data[0].id
        # The package asks for base64 by itself and decodes it.
        coded = client.embeddings.create(model=model, input=["A dog runs.", "A cat sleeps."])
        plain = client.embeddings.create(model=model, input="A dog runs.", encoding_format="float")
        self.assertEqual([entry.index for entry in coded.data], [0, 1])
        for a, b in zip(coded.data[0].embedding, plain.data[0].embedding):
            self.assertAlmostEqual(a, b, places=5)
        self.assertAlmostEqual(sum(x * x for x in plain.data[0].embedding), 1, places=3)
        self.assertGreater(plain.usage.prompt_tokens, 0)
        raw = client.post("/embeddings", body={"input": "A dog runs.", "encoding_format": "base64"}, cast_to=object)
        data = base64.b64decode(raw["data"][0]["embedding"])
        self.assertEqual(len(struct.unpack(f"<{len(data) // 4}f", data)), len(plain.data[0].embedding))

    def test_a_text_longer_than_the_model_takes_is_cut_off_there(self):
        client = openai.OpenAI(base_url=EMBED_URL + "/v1", api_key=KEY, max_retries=0)
        model = client.models.list().data[0].id
        long, longer = (client.embeddings.create(model=model, input="lamp " * words) for words in (254, 2000))
        self.assertEqual((long.usage.prompt_tokens, longer.usage.prompt_tokens), (256, 256))
        self.assertEqual(long.data[0].embedding, longer.data[0].embedding)


if __name__ == "__main__":
    unittest.main()
