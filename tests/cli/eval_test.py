"""End-to-end tests of `hearth eval` with the small model: the real binary, engine, sandbox and folders.

usage: eval_test.py PATH_TO_HEARTH    (HEARTH_MODELS and HEARTH_DATA as in docs/environment.md)
Exits with 77, which ctest counts as skipped, when the model or the data are not there.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cli_test import HEARTH, MODEL, TEXT, CliTest, environment, hearth  # noqa: E402

DATA = Path(os.environ.get("HEARTH_DATA") or Path(__file__).parents[3] / "shared/data")


def evaluate(*arguments, timeout=300, **changes):
    return hearth("eval", *arguments, timeout=timeout, HEARTH_DATA=DATA, **changes)


class EvalTest(CliTest):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name) / "run"
        self.text = Path(self.scratch.name) / "text"
        self.text.write_text(TEXT)

    def tearDown(self):
        self.scratch.cleanup()

    def results(self, *arguments, **options):
        return json.loads(self.assert_ok(evaluate(*arguments, "--json", **options)))["suites"]

    def items(self):
        return [json.loads(line) for line in (self.folder / "items.jsonl").read_text().splitlines()]

    def test_perplexity_is_that_of_the_perplexity_command(self):
        [suite] = self.results("perplexity", "--text", self.text, "--window", 64)
        measured = json.loads(self.assert_ok(hearth("perplexity", "--file", self.text, "--context", 64, "--json")))
        self.assertEqual(suite["items"], measured["windows"])
        self.assertAlmostEqual(suite["score"], measured["perplexity"], places=4)
        self.assertLessEqual(suite["low"], suite["score"])
        self.assertLessEqual(suite["score"], suite["high"])

    def test_a_model_agrees_with_itself(self):
        [suite] = self.results("kl", "--reference", MODEL, "--text", self.text, "--window", 64)
        self.assertAlmostEqual(suite["score"], 0, places=6)
        self.assertEqual(suite["figures"]["top1_agreement"]["value"], 1)

    def test_a_reduced_kv_cache_shows(self):
        [suite] = self.results("kl", "--reference", MODEL, "--kv-type", "int4", "--text", self.text, "--window", 256)
        self.assertGreater(suite["score"], 0.0001)

    def test_a_run_is_kept_resumed_and_compared(self):
        arguments = ("humaneval", "gsm8k", "--limit", 3, "--max-tokens", 40, "--output", self.folder)
        self.assert_ok(evaluate(*arguments))
        items = self.items()
        self.assertEqual(len(items), 6)
        self.assertTrue(all(item["score"] in (0, 1) for item in items))
        results = json.loads((self.folder / "results.json").read_text())
        self.assertEqual([suite["items"] for suite in results["suites"]], [3, 3])
        self.assertIn("HumanEval", (self.folder / "report.html").read_text())

        self.assert_error(evaluate(*arguments), 1, "--resume")
        self.assert_error(evaluate(*arguments, "--resume", "--temperature", 0.5), 1, "temperature")
        self.assert_error(evaluate("humaneval", *arguments[2:], "--resume"), 1, "suite.gsm8k")

        # One line lost: one item is run again and comes out the same.
        lines = (self.folder / "items.jsonl").read_text().splitlines(keepends=True)
        (self.folder / "items.jsonl").write_text("".join(lines[1:]))
        self.assert_ok(evaluate(*arguments, "--resume"))
        again = self.items()
        self.assertEqual(again[:5], items[1:])
        for volatile in ("seconds", "figures"):
            again[5].pop(volatile, None), items[0].pop(volatile, None)
        self.assertEqual(again[5], items[0])

        compared = json.loads(self.assert_ok(hearth("eval", "compare", self.folder, self.folder, "--json")))
        self.assertEqual([suite["mcnemar_p"] for suite in compared["suites"]], [1, 1])
        noise = json.loads(self.assert_ok(hearth("eval", "noise", self.folder, self.folder, "--json")))
        self.assertEqual([suite["noise_floor"] for suite in noise["suites"]], [0, 0])

    def test_control_c_keeps_what_is_finished(self):
        run = subprocess.Popen([HEARTH, "eval", "gsm8k", "--limit", "200", "--max-tokens", "30", "--output", self.folder],
                               stderr=subprocess.PIPE, env=environment(HEARTH_MODEL=MODEL, HEARTH_DATA=DATA))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (self.folder.exists() and (self.folder / "items.jsonl").exists()
                                                   and len(self.items()) >= 2):
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 130, errors)
        self.assertIn(b"--resume", errors)
        self.assertGreaterEqual(len(self.items()), 2)
        self.assertLess(len(self.items()), 200)

    def test_function_calls_and_reasoning_run(self):
        suites = self.results("bfcl", "bbh", "--limit", 3, "--max-tokens", 30)
        self.assertEqual([suite["items"] for suite in suites], [3, 3])
        self.assertEqual(set(suites[0]["categories"]), {"simple_python", "multiple", "irrelevance"})

    def test_a_server_is_tested_and_judges(self):
        server = subprocess.Popen([HEARTH, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env=environment(HEARTH_MODEL=MODEL))
        try:
            url = None
            while url is None:
                line = server.stdout.readline().decode()
                self.assertTrue(line, "the server ended")
                found = re.search(r"http://[^ ]*:\d+", line)
                url = found and found.group(0) + "/v1"
            [suite] = self.results("vicuna_bench", "--limit", 2, "--max-tokens", 24, "--base-url", url, "--judge-url", url,
                                   "--judge-model", MODEL.stem, "--model", MODEL.stem, model=None)
            self.assertEqual(suite["items"], 2)
            self.assertGreater(suite["completion_tokens"], 0)
        finally:
            server.terminate()
            server.communicate(timeout=30)

    def test_wrong_command_lines(self):
        self.assert_error(evaluate(), 2, "no suite")
        self.assert_error(evaluate("gsm8k", "gsm8k"), 2, "twice")
        self.assert_error(evaluate("gsm8k", "--resume"), 2, "--output")
        self.assert_error(evaluate("mmlu"), 1, "there is no suite mmlu", "gsm8k")
        self.assert_error(evaluate("kl"), 1, "--reference")
        self.assert_error(evaluate("perplexity", "--base-url", "http://127.0.0.1:1/v1"), 1, "--base-url")
        self.assert_error(evaluate("gsm8k", "--base-url", "https://x/v1"), 1, "https://x/v1")
        self.assert_error(hearth("eval", "compare", "/nonexistent", "/nonexistent"), 1, "/nonexistent/run.json")
        self.assert_error(hearth("eval", "compare", "/nonexistent"), 2)


if __name__ == "__main__":
    for needed in (MODEL, DATA / "humaneval.jsonl"):
        if not needed.exists():
            print(f"SKIPPED: no {needed}")
            sys.exit(77)
    unittest.main(verbosity=2)
