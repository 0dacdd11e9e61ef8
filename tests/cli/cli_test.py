"""End-to-end tests of the command line: the real binary, as a user and as a script would call it.

usage: cli_test.py PATH_TO_HEARTH    (HEARTH_MODELS: folder of the development models, default ~/.cache/hearth-models)
Exits with 77, which ctest counts as skipped, when the model is not there.
"""

import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HEARTH = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/hearth"
MODELS = Path(os.environ.get("HEARTH_MODELS") or Path.home() / ".cache/hearth-models")
MODEL = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = MODELS / "all-MiniLM-L6-v2"  # as published: safetensors
CHECKPOINTS = Path(__file__).resolve().parent.parent / "golden/convert"  # tiny ones
TEXT = (
    "The lighthouse stood at the end of the long stone pier. Every evening the keeper climbed its narrow stairs, lit the "
    "great lamp, and wrote in his book what he saw of the sea and the sky. On clear nights he counted the ships. "
) * 8


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if k not in ("HEARTH_MODEL", "HEARTH_FORCE_ISA")}
    env.update({k: str(v) for k, v in changes.items()})
    return env


def hearth(*arguments, stdin=b"", model=MODEL, timeout=120, **changes):
    """Runs the binary to its end; HEARTH_MODEL names the model unless `model` is None."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    if model is not None:
        changes.setdefault("HEARTH_MODEL", model)
    return subprocess.run([HEARTH, *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                          env=environment(**changes))


class Terminal:
    """The binary on a pseudo-terminal."""

    def __init__(self, *arguments, **changes):
        changes.setdefault("HEARTH_MODEL", MODEL)
        changes.setdefault("TERM", "xterm")
        changes.setdefault("LC_ALL", "C.UTF-8")
        self.output = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(HEARTH, [HEARTH, *map(str, arguments)], environment(**changes))

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, pattern, timeout=60):
        """Reads until the pattern comes; what was read up to its end is taken off."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern.encode(), self.output)
            if found:
                before, self.output = self.output[:found.end()], self.output[found.end():]
                return before.decode(errors="replace")
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"no {pattern!r} in {self.output!r}")

    def _read(self, timeout):
        ready, _, _ = select.select([self.fd], [], [], max(timeout, 0))
        if not ready:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # how a pseudo-terminal says that the other side is gone
            return False
        self.output += data
        return bool(data)

    def close(self, timeout=30):
        """Waits for the program to end; its exit code."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0.05):
                    pass
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"did not end; wrote {self.output!r}")


class CliTest(unittest.TestCase):
    def assert_error(self, result, code, *words):
        """The exit code, nothing on standard output, and on standard error a short message with the words."""
        self.assertEqual(result.returncode, code, result)
        self.assertEqual(result.stdout, b"")
        message = result.stderr.decode()
        self.assertTrue(message.startswith("hearth"), message)
        self.assertLessEqual(len(message.splitlines()), 3, message)
        for word in words:
            self.assertIn(word, message)

    def assert_ok(self, result):
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()


class UsageTest(CliTest):
    def test_version(self):
        self.assertRegex(self.assert_ok(hearth("--version", model=None)), r"^hearth \d+\.\d+\.\d+\n$")
        version = json.loads(self.assert_ok(hearth("version", "--json", model=None)))
        self.assertIn(version["kernels"], ("scalar", "avx2", "avx_vnni", "avx512", "amx", "neon"))

    def test_help_of_every_command_has_examples(self):
        top = self.assert_ok(hearth("--help", model=None))
        commands = re.findall(r"^  ([a-z]+)  ", top.split("Subcommands:")[1], re.MULTILINE)
        for needed in ("run", "chat", "serve", "show", "tokenize", "embed", "perplexity", "bench", "convert", "eval", "version"):
            self.assertIn(needed, commands)
        for command in commands:
            help_text = self.assert_ok(hearth(command, "--help", model=None))
            self.assertIn("Examples:", help_text, command)
            self.assertIn(f"hearth {command}", help_text)

    def test_wrong_command_lines_exit_with_2(self):
        for arguments in ([], ["fly"], ["run", "--wings", "hi"], ["run", "hi", "--temperature", "hot"], ["run", "hi", "--top-p", "2"],
                          ["run", "hi", "--threads", "-1"], ["run", "hi", "--kv-type", "f64"],
                          ["run", "hi", "--kv-memory", "lots"], ["serve", "--kv-memory", "-1GiB"], ["chat", "--kv-memory", "12"], ["run", "hi", "--stop", ""],
                          ["perplexity"], ["perplexity", "--file", "x", "--context", "0"], ["show", "a", "b"]):
            with self.subTest(arguments):
                self.assert_error(hearth(*arguments), 2)

    def test_empty_prompt_is_refused_before_the_model_is_read(self):
        self.assert_error(hearth("run", model="/nonexistent.gguf"), 2, "prompt is empty")
        self.assert_error(hearth("run", "--raw", "--system", "x", "y"), 2, "--raw")

    def test_instruction_set_the_machine_lacks_is_refused(self):
        self.assert_error(hearth("run", "hi", HEARTH_FORCE_ISA="mmx"), 2, "HEARTH_FORCE_ISA", "mmx")


class ModelFileTest(CliTest):
    def test_missing_model_is_named(self):
        for command in (["run", "hi"], ["chat"], ["show"], ["tokenize", "hi"], ["embed", "hi"], ["bench"]):
            with self.subTest(command):
                self.assert_error(hearth(*command, "--model", "/nonexistent.gguf"), 1, "/nonexistent.gguf")

    def test_without_a_default_model_the_message_says_what_to_do(self):
        with tempfile.TemporaryDirectory() as empty:
            result = hearth("run", "hi", model=None, XDG_DATA_HOME=empty)
            self.assert_error(result, 1, "--model", "HEARTH_MODEL", "scripts/serve", empty)

    def test_default_model_is_found_where_serve_puts_it(self):
        with tempfile.TemporaryDirectory() as data:
            os.mkdir(f"{data}/hearth")
            os.symlink(MODEL, f"{data}/hearth/{MODEL.name}")
            self.assert_ok(hearth("tokenize", "hi", model=None, XDG_DATA_HOME=data))

    def test_corrupt_files_are_refused(self):
        whole = MODEL.read_bytes()
        cases = {"empty": b"", "text": b"this is no model\n" * 100, "cut": whole[:5000], "cut_late": whole[:-1000],
                 "huge_count": whole[:8] + b"\xff" * 16 + whole[24:4096]}
        with tempfile.TemporaryDirectory() as folder:
            for name, data in cases.items():
                path = Path(folder) / f"{name}.gguf"
                path.write_bytes(data)
                for command in (["run", "hi"], ["show"]):
                    with self.subTest(name=name, command=command):
                        self.assert_error(hearth(*command, "--model", path), 1, name)
            with self.subTest("folder"):
                self.assert_error(hearth("run", "hi", "--model", folder), 1, folder)

    def test_show(self):
        text = self.assert_ok(hearth("show", MODEL, model=None))
        for word in ("llama", "Q4_1", "KV cache", "2048" if "2048" in text else "8192"):
            self.assertIn(word, text)
        shown = json.loads(self.assert_ok(hearth("show", MODEL, "--json", "--context", 1000, model=None)))
        self.assertEqual(shown["architecture"], "llama")
        self.assertEqual(shown["file_bytes"], MODEL.stat().st_size)
        self.assertEqual(shown["memory"]["kv_bytes"], 1000 * shown["kv_bytes_per_token"])
        self.assertEqual(shown["memory"]["total_bytes"], sum(shown["memory"][k] for k in ("weights_bytes", "kv_bytes", "overhead_bytes")))
        self.assertAlmostEqual(sum(shown["bytes_by_type"].values()), shown["file_bytes"], delta=shown["file_bytes"] / 10)
        template = self.assert_ok(hearth("show", MODEL, "--template", model=None))
        self.assertEqual(template, shown["chat_template"])
        smaller = json.loads(self.assert_ok(hearth("show", "--json", "--context", 1000, "--kv-type", "int8")))
        self.assertLess(smaller["memory"]["kv_bytes"], shown["memory"]["kv_bytes"])
        limited = json.loads(self.assert_ok(hearth("show", "--json", "--kv-memory", "512MiB")))["memory"]
        self.assertLessEqual(limited["kv_bytes"], 512 << 20)
        self.assertGreater(limited["kv_bytes"], 500 << 20)
        self.assertEqual(limited["kv_tokens"] * shown["kv_bytes_per_token"], limited["kv_bytes"])
        self.assertIn(f"for {limited['kv_tokens']} tokens", self.assert_ok(hearth("show", "--kv-memory", "0.5GiB")))
        self.assert_error(hearth("show", "--kv-memory", "1MiB"), 1, "needs", "bytes of KV cache")


class ContextTest(CliTest):
    def test_a_context_beyond_the_models_is_refused_with_both_numbers(self):
        own = json.loads(self.assert_ok(hearth("show", "--json")))["context_length"]
        asked = own + 1
        for command in (["run", "hi"], ["chat"], ["serve", "--port", "0"], ["show"]):
            with self.subTest(command):
                self.assert_error(hearth(*command, "--context", asked), 1, str(asked), str(own))
        shown = json.loads(self.assert_ok(hearth("show", "--json", "--context", own)))
        self.assertEqual(shown["memory"]["context"], own)


class WeightCacheTest(CliTest):
    def test_a_refused_cache_is_said_once(self):
        with tempfile.NamedTemporaryFile() as no_folder:
            result = hearth("run", "--raw", "Once", "--max-tokens", "2", XDG_CACHE_HOME=no_folder.name)
            self.assert_ok(result)
            lines = result.stderr.decode().splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertIn("in memory", lines[0])
            self.assertIn(no_folder.name, lines[0])
        with tempfile.TemporaryDirectory() as folder:
            result = hearth("run", "--raw", "Once", "--max-tokens", "2", XDG_CACHE_HOME=folder)
            self.assert_ok(result)
            self.assertEqual(result.stderr, b"")

    @unittest.skipIf(os.environ.get("HEARTH_SANITIZE"), "a sanitizer has memory of its own")
    def test_peak_memory_is_the_file_the_kv_and_120_mb_at_most(self):
        context = 4096
        shown = json.loads(self.assert_ok(hearth("show", "--json", "--context", context)))["memory"]
        bound = shown["weights_bytes"] + shown["kv_bytes"] + 120_000_000
        with tempfile.TemporaryDirectory() as cache:
            for start in ("first", "second"):
                process = subprocess.Popen([HEARTH, "run", "--raw", TEXT, "--context", str(context), "--max-tokens", "32"],
                                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                           env=environment(HEARTH_MODEL=MODEL, XDG_CACHE_HOME=cache))
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                self.assertEqual(process.returncode, 0)
                peak = usage.ru_maxrss * 1024  # mapped pages of files counted
                print(f"{start} start: peak {peak / 1e6:.0f} MB of {bound / 1e6:.0f}")
                self.assertLessEqual(peak, bound, f"{start} start")
                self.assertGreater(peak, shown["weights_bytes"] / 2, "this is no measurement")


class ConvertTest(CliTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "model.gguf"

    def convert(self, *arguments):
        return hearth("convert", *arguments, model=None)

    def test_a_checkpoint_becomes_a_model_that_runs(self):
        text = self.assert_ok(self.convert(CHECKPOINTS / "llama", self.out))
        self.assertIn(str(self.out), text)
        self.assertIn("MB", text)
        shown = json.loads(self.assert_ok(hearth("show", self.out, "--json", model=None)))
        self.assertEqual((shown["architecture"], shown["layers"], shown["hidden_size"]), ("llama", 2, 64))
        self.assertIn("F16", shown["bytes_by_type"])
        answer = json.loads(self.assert_ok(hearth("run", "--json", "--raw", "the hearth", "--max-tokens", "4", "--temperature", "0", model=self.out)))
        self.assertEqual(answer["tokens"]["completion"], 4)

    def test_type_and_json(self):
        made = json.loads(self.assert_ok(self.convert(CHECKPOINTS / "qwen2", self.out, "--type", "q8_0", "--json")))
        self.assertEqual(made, {"path": str(self.out), "size_bytes": self.out.stat().st_size})
        shown = json.loads(self.assert_ok(hearth("show", self.out, "--json", model=None)))
        self.assertIn("Q8_0", shown["bytes_by_type"])

    def test_an_existing_file_is_only_replaced_when_told_so(self):
        self.out.write_text("precious")
        self.assert_error(self.convert(CHECKPOINTS / "llama", self.out), 1, str(self.out), "--force")
        self.assertEqual(self.out.read_text(), "precious")
        self.assert_ok(self.convert(CHECKPOINTS / "llama", self.out, "--force"))
        self.assertEqual(self.out.read_bytes()[:4], b"GGUF")

    def test_errors_name_what_is_wrong_and_leave_nothing(self):
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "config.json").write_text('{"model_type": "mamba"}')
        cases = (((self.folder / "absent", self.out), 1, ("absent",)), ((broken, self.out), 1, ("mamba",)),
                 ((CHECKPOINTS / "llama", self.folder / "no/such/folder.gguf"), 1, ("no/such",)),
                 ((CHECKPOINTS / "llama", self.out, "--type", "q9"), 2, ("q9",)),
                 ((CHECKPOINTS / "llama", self.out, "--type", "q4_k_m"), 2, ("q4_k_m", "q4_k")), ((CHECKPOINTS / "llama",), 2, ()))
        for arguments, code, words in cases:
            with self.subTest(arguments[1:]):
                self.assert_error(self.convert(*arguments), code, *words)
                self.assertEqual([path.name for path in self.folder.iterdir()], ["broken"])


@unittest.skipUnless(MINILM.exists(), f"no {MINILM}")
class EmbedTest(CliTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.model = Path(cls.folder.name) / "minilm.gguf"
        subprocess.run([HEARTH, "convert", str(MINILM), str(cls.model)], check=True, capture_output=True, env=environment())

    def embed(self, *arguments, **options):
        return hearth("embed", *arguments, model=self.model, **options)

    @staticmethod
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    def test_one_line_of_numbers_per_text(self):
        texts = ("A cat sits outside.", "A kitten is in the garden.", "Interest rates rose again.")
        rows = [[float(word) for word in line.split()] for line in self.assert_ok(self.embed(*texts)).splitlines()]
        self.assertEqual([len(row) for row in rows], [384] * 3)
        for row in rows:
            self.assertAlmostEqual(sum(value * value for value in row), 1, places=5)
        self.assertGreater(self.cosine(rows[0], rows[1]), self.cosine(rows[0], rows[2]) + 0.2)
        piped = self.assert_ok(self.embed(stdin="\r\n".join(texts)))
        self.assertEqual([[float(word) for word in line.split()] for line in piped.splitlines()], rows)

    def test_json(self):
        result = json.loads(self.assert_ok(self.embed("--json", "Hello", "lamp " * 254, "lamp " * 4000)))
        self.assertEqual(result["model"], "minilm")
        entries = result["embeddings"]
        self.assertEqual([entry["index"] for entry in entries], [0, 1, 2])
        self.assertEqual(entries[0]["text"], "Hello")
        # A text longer than the model takes is cut off there.
        self.assertEqual([entry["num_tokens"] for entry in entries], [3, 256, 256])
        self.assertEqual(entries[1]["embedding"], entries[2]["embedding"])

    def test_errors(self):
        self.assert_error(hearth("embed", "hi"), 1, "not an embedding model")
        self.assert_error(hearth("run", "hi", model=self.model), 1, "embedding model")
        self.assert_error(hearth("perplexity", "--file", __file__, "--context", "64", model=self.model), 1, "embedding model")

    def test_the_bar_on_a_terminal_leaves_the_numbers_alone(self):
        run = Terminal("embed", *(f"text number {i}" for i in range(30)), HEARTH_MODEL=self.model, HEARTH_PROGRESS_AFTER_MS=0)
        self.assertEqual(run.close(), 0)
        output = run.output.decode()
        self.assertIn("Embedding [", output)
        lines = output.split("\r\n")
        rows = 0
        for line in lines:
            # What the terminal shows of it: behind the last time that the line was wiped.
            shown = line.rsplit("\x1b[K", 1)[-1].lstrip("\r")
            if shown:
                rows += 1
                self.assertEqual(len([float(word) for word in shown.split()]), 384)
        self.assertEqual(rows, 30)


class TokenizeTest(CliTest):
    def test_round_trip(self):
        for text in ("Hello, world", "  two  spaces\n\nand\tlines\n", "na\u00efve \U0001f525 \u6f22\u5b57", "<|im_start|>user", "x" * 5000):
            with self.subTest(text[:20]):
                ids = self.assert_ok(hearth("tokenize", "--ids", stdin=text))
                self.assertEqual(self.assert_ok(hearth("tokenize", "--decode", stdin=ids)), text)
                tokens = json.loads(self.assert_ok(hearth("tokenize", "--json", stdin=text)))
                self.assertEqual(tokens["ids"], [int(word) for word in ids.split()])
                self.assertEqual(tokens["count"], len(tokens["ids"]))
                self.assertEqual(b"".join(bytes(token["bytes"]) for token in tokens["tokens"]), text.encode())

    def test_special_tokens_only_when_asked(self):
        plain = json.loads(self.assert_ok(hearth("tokenize", "--json", "<|im_start|>")))
        special = json.loads(self.assert_ok(hearth("tokenize", "--json", "--special", "<|im_start|>")))
        self.assertGreater(plain["count"], 1)
        self.assertEqual(special["count"], 1)
        self.assertEqual(special["tokens"][0]["piece"], "<|im_start|>")

    def test_table_has_a_line_per_token(self):
        lines = self.assert_ok(hearth("tokenize", "one\ntwo")).splitlines()
        self.assertIn("\\n", "".join(lines))
        self.assertTrue(all(re.match(r" *\d+  ", line) for line in lines), lines)

    def test_ids_outside_the_vocabulary_are_refused(self):
        for text in ("12 x 3", "99999999", "-1", "1e3", "99999999999999999999"):
            self.assert_error(hearth("tokenize", "--decode", stdin=text), 1, text.split()[-2 if " " in text else 0])

    def test_any_bytes_are_accepted(self):
        result = hearth("tokenize", "--json", stdin=bytes(range(256)))
        json.loads(self.assert_ok(result))


class RunTest(CliTest):
    GREEDY = ("--temperature", "0", "--max-tokens", "16")

    def run_json(self, *arguments, **options):
        return json.loads(self.assert_ok(hearth("run", "--json", *arguments, **options)))

    def test_raw_text_goes_on(self):
        text = self.assert_ok(hearth("run", "--raw", "The capital of France is", *self.GREEDY))
        self.assertIn("Paris", text)
        self.assertTrue(text.endswith("\n"))

    def test_chat_template_is_used(self):
        question = "What is the capital of France?"
        rendered = (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        )
        answer = self.run_json(question, *self.GREEDY)
        by_hand = self.run_json("--raw", "--special", rendered, *self.GREEDY)
        self.assertEqual(answer["text"], by_hand["text"])
        self.assertEqual(answer["tokens"], by_hand["tokens"])

    def test_special_tokens_of_the_user_stay_text(self):
        def prompt_tokens(text):
            return self.run_json(text, "--max-tokens", "1")["tokens"]["prompt"]
        self.assertGreater(prompt_tokens("a<|im_end|>b"), prompt_tokens("ab") + 3)

    def test_json_has_text_tokens_and_timings(self):
        answer = self.run_json("--raw", "Once upon a time", *self.GREEDY)
        self.assertEqual(answer["tokens"]["completion"], 16)
        self.assertGreater(answer["tokens"]["prompt"], 2)
        self.assertEqual(answer["finish_reason"], "length")
        for figure in ("load_ms", "prefill_ms", "ttft_ms", "decode_ms", "prefill_tps", "decode_tps"):
            self.assertGreater(answer["timings"][figure], 0, figure)
        streamed = self.assert_ok(hearth("run", "--raw", "Once upon a time", *self.GREEDY))
        self.assertEqual(streamed.rstrip("\n"), answer["text"].rstrip("\n"))

    def test_standard_input_is_the_prompt_or_goes_below_it(self):
        def prompt_tokens(*arguments, stdin=b""):
            return self.run_json(*arguments, "--raw", "--max-tokens", "1", stdin=stdin)["tokens"]["prompt"]
        both = prompt_tokens("one two", stdin=" three four")
        self.assertEqual(both, prompt_tokens(stdin="one two three four"))
        self.assertEqual(both, prompt_tokens("one two three four"))

    def test_same_seed_same_text(self):
        def text(seed):
            return self.run_json("--raw", "My favourite animal is", "--seed", seed, "--temperature", "1", "--max-tokens", "24")["text"]
        self.assertEqual(text(7), text(7))
        self.assertNotEqual(text(7), text(8))
        drawn = self.run_json("--raw", "My favourite animal is", "--temperature", "1", "--max-tokens", "24")
        self.assertEqual(drawn["text"], text(drawn["seed"]))

    def test_stop_text_ends_the_answer(self):
        answer = self.run_json("--raw", "1, 2, 3, 4,", *self.GREEDY, "--stop", "7")
        self.assertIn("6", answer["text"])
        self.assertNotIn("7", answer["text"])
        self.assertEqual(answer["finish_reason"], "stop")

    def test_system_prompt_reaches_the_model(self):
        def prompt_tokens(*arguments):
            return self.run_json("hi", "--max-tokens", "1", *arguments)["tokens"]["prompt"]
        words = "Answer like a pirate who has sailed the seven seas for forty years and more, and who loves rum."
        self.assertNotEqual(prompt_tokens("--system", words), prompt_tokens())

    def test_stats_go_to_standard_error(self):
        result = hearth("run", "--raw", "Once", "--stats", *self.GREEDY)
        self.assertRegex(result.stderr.decode(), r"^16 tokens at [\d.]+ tok/s, .*seed \d+\n$")
        self.assertNotIn("tok/s", self.assert_ok(result))

    def test_prompt_longer_than_the_context_is_refused(self):
        self.assert_error(hearth("run", "--raw", "--context", "64", "word " * 100), 1, "64", "tokens")

    def test_several_threads_or_one_give_the_same_text(self):
        texts = {self.run_json("--raw", "Once upon a time", *self.GREEDY, "--threads", n)["text"] for n in (1, 2, 3)}
        self.assertEqual(len(texts), 1)

    def test_a_session_goes_on_in_another_process(self):
        with tempfile.TemporaryDirectory() as folder:
            session, alone = Path(folder) / "trip.json", Path(folder) / "alone.json"
            first = self.run_json(TEXT, "--session", session, *self.GREEDY)
            self.assertEqual(first["tokens"]["cached"], 0)
            self.assertTrue(session.with_name("trip.json.kv").exists())
            alone.write_bytes(session.read_bytes())  # the conversation without what was computed
            second = self.run_json("What is a lighthouse?", "--session", session, *self.GREEDY)
            self.assertGreater(second["tokens"]["prompt"], first["tokens"]["prompt"])
            # whole blocks of 64 tokens of the first prompt at least
            self.assertGreaterEqual(second["tokens"]["cached"], (first["tokens"]["prompt"] - 1) // 64 * 64 - 64)
            computed = self.run_json("What is a lighthouse?", "--session", alone, *self.GREEDY)
            self.assertEqual(computed["tokens"]["cached"], 0)
            self.assertEqual(computed["text"], second["text"])
            third = self.run_json("And a pier?", "--session", session, *self.GREEDY)
            self.assertGreater(third["tokens"]["cached"], second["tokens"]["cached"] - 1)
            # what another setting computed is not taken, and the answer says so
            other = hearth("run", "And a ship?", "--session", session, "--kv-type", "int8", "--json", *self.GREEDY)
            self.assertEqual(json.loads(self.assert_ok(other))["tokens"]["cached"], 0)
            self.assertIn("KV type", other.stderr.decode())

    def test_kv_memory_is_a_limit(self):
        self.assert_error(hearth("run", "hi", "--kv-memory", "1MiB"), 1, "KV cache", "budget")
        answer = self.run_json("Once upon a time", "--context", 256, "--kv-memory", "8MiB", *self.GREEDY)
        self.assertEqual(answer["text"], self.run_json("Once upon a time", *self.GREEDY)["text"])

    def test_reader_that_leaves_is_no_error_message(self):
        process = subprocess.Popen([HEARTH, "run", "--raw", "Once upon a time", "--max-tokens", "64"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(HEARTH_MODEL=MODEL))
        process.stdout.read(1)
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(60), -signal.SIGPIPE)

    def test_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([HEARTH, "tokenize", "hi"], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                                    env=environment(HEARTH_MODEL=MODEL), timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left", result.stderr)

    def test_control_c_ends_with_130(self):
        process = subprocess.Popen([HEARTH, "run", "--raw", "Once upon a time"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment(HEARTH_MODEL=MODEL))
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(errors, b"")


class PerplexityTest(CliTest):
    def test_a_plain_text(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(TEXT)
            file.flush()
            arguments = ("perplexity", "--file", file.name, "--context", "64")
            measured = json.loads(self.assert_ok(hearth(*arguments, "--json")))
            self.assertGreater(measured["perplexity"], 1)
            self.assertLess(measured["perplexity"], 30)  # 49152 would be guessing
            self.assertEqual(measured["windows"], measured["tokens"] // 64)
            self.assertEqual(measured["tokens_scored"], measured["windows"] * 31)
            self.assertAlmostEqual(math.log(measured["perplexity"]), measured["mean_nll"])
            self.assertGreater(measured["standard_error"], 0)
            text = self.assert_ok(hearth(*arguments))
            self.assertIn(f"{measured['perplexity']:.4f}", text)
        piped = json.loads(self.assert_ok(hearth("perplexity", "--file", "-", "--context", "64", "--json", stdin=TEXT)))
        self.assertEqual(piped["perplexity"], measured["perplexity"])

    def test_errors(self):
        self.assert_error(hearth("perplexity", "--file", "/nonexistent.txt"), 1, "/nonexistent.txt")
        self.assert_error(hearth("perplexity", "--file", "-", stdin="too short"), 1, "tokens")
        self.assert_error(hearth("perplexity", "--file", "-", "--context", "500000", stdin=TEXT), 1, "500000", "8192")


class EmbedRefusalTest(CliTest):
    def test_a_generating_model_is_refused(self):
        self.assert_error(hearth("embed", "hi"), 1, "embedding model")


class BenchTest(CliTest):
    def test_quick_json(self):
        figures = json.loads(self.assert_ok(hearth("bench", "--quick", "--json", timeout=300)))
        for name in ("read_gbps", "int8_gmacs", "decode_tps", "ttft_ms", "peak_rss_mb", "threads"):
            self.assertGreater(figures[name], 0, name)
        self.assertEqual(set(figures["verify_ratio"]), set("2345678"))
        self.assertLessEqual({"128", "512"}, set(figures["prefill_tps"]))
        self.assertIn("SmolLM2", figures["model"])
        for width in "16":
            self.assertGreater(figures["pass_ms"][width], 0)
            self.assertGreater(figures["pass_limit_ms"][width], 0)
        self.assertNotIn("decode_at", figures)


class BenchVsTest(CliTest):
    """Against a llama-bench of a few lines of shell; what it cannot do is tested in src/comparison."""

    PEER = r"""#!/bin/sh
case "$*" in --help) echo "--repack <0|1>"; exit 0;; esac
row() { echo "{\"build_commit\":\"fake123\",\"n_prompt\":$1,\"n_gen\":$2,\"n_depth\":0,\"avg_ts\":$3}"; }
row 6 0 60; row 128 0 100
case "$*" in *"--repack 1"*) kill -ILL $$;; esac
row 512 0 100; row 0 32 10
"""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.peer = Path(self.folder.name) / "llama-bench"
        self.peer.write_text(self.PEER)
        self.peer.chmod(0o755)

    def test_both_stand_beside_each_other(self):
        result = hearth("bench", "--vs", "llama.cpp", "--peer", self.peer, "--rounds", "1", "--quick", "--json", timeout=300)
        report = json.loads(self.assert_ok(result))
        self.assertEqual((report["kind"], report["peer"], report["peer_build"], report["rounds"]), ("side-by-side", "llama.cpp", "fake123", 1))
        self.assertGreater(report["machine"]["cores"], 0)
        self.assertNotIn(self.folder.name, result.stdout.decode())
        model = report["models"][0]
        self.assertEqual(model["model"], MODEL.name)
        self.assertEqual(model["file_bytes"], MODEL.stat().st_size)
        figures = {row["name"]: row for row in model["figures"]}
        decode = figures["decode"]
        self.assertEqual(decode["peer"]["median"], 10)
        self.assertAlmostEqual(decode["ratio"]["median"], decode["ours"]["median"] / 10)
        self.assertGreater(decode["limit"]["median"], 0)
        self.assertAlmostEqual(figures["verify(6) / decode"]["peer"]["median"], 1)
        # The crashed settings still count with what they had measured.
        self.assertEqual(len(figures["prefill 128"]["peer_settings"]), 4)
        self.assertEqual(len(figures["prefill 512"]["peer_settings"]), 2)
        self.assertEqual(len(model["notes"]), 2)
        self.assertIn("killed by signal 4", model["notes"][0])
        self.assertGreater(model["startup"]["first_peak_mb"], 0)

    def test_table(self):
        # PATH has a llama-bench, so that none needs to be named.
        table = self.assert_ok(hearth("bench", "--vs", "llama.cpp", "--rounds", "1", "--quick", timeout=300,
                                      PATH=f"{self.folder.name}:{os.environ['PATH']}"))
        self.assertIn(f"| {MODEL.name} | decode, tok/s | ", table)
        self.assertIn("flash attention", table)
        self.assertIn("killed by signal 4", table)

    def test_errors(self):
        self.assert_error(hearth("bench", "--vs", "other", "--peer", self.peer), 2, "llama.cpp")
        self.assert_error(hearth("bench", "--vs", "llama.cpp", "--peer", "/nonexistent/llama-bench"), 1, "/nonexistent/llama-bench", "--peer")
        self.assert_error(hearth("bench", "--vs", "llama.cpp", PATH=self.folder.name + "/none"), 1, "llama-bench", "PATH")
        self.assert_error(hearth("bench", "--peer", self.peer), 2, "--vs")
        self.assert_error(hearth("bench", "--model", "a.gguf", "--model", "b.gguf"), 2, "--vs")
        self.assert_error(hearth("bench", "--vs", "llama.cpp", "--peer", self.peer, "--model", "/nonexistent.gguf"), 1, "/nonexistent.gguf")
        self.peer.write_text("#!/bin/sh\nkill -ILL $$\n")
        self.assert_error(hearth("bench", "--vs", "llama.cpp", "--peer", self.peer), 1, "signal 4")

    def test_help_says_how_to_get_the_peer(self):
        text = self.assert_ok(hearth("bench", "--help", model=None))
        for word in ("cmake", "llama-bench", "llama-cpp-python"):
            self.assertIn(word, text)


class PipedChatTest(CliTest):
    OPTIONS = ("--temperature", "0", "--max-tokens", "24")

    def test_remembers_what_was_said(self):
        result = hearth("chat", "--stats", *self.OPTIONS, stdin="My name is Ada.\nWhat is my name?\n")
        self.assert_ok(result)
        answers, prompts = (list(map(int, re.findall(pattern, result.stderr.decode())))
                            for pattern in (r"(?m)^(\d+) tokens", r"prompt of (\d+)"))
        self.assertEqual(len(prompts), 2)
        self.assertGreaterEqual(prompts[1], prompts[0] + answers[0] + 5)

    def test_commands(self):
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "chat.json"
            script = f"/system Be brief.\nHello\n/save {saved}\n/new\n/load {saved}\n/regen\n/stats\n/set\n/exit\nnever read\n"
            text = self.assert_ok(hearth("chat", *self.OPTIONS, stdin=script))
            conversation = json.loads(saved.read_text())
        self.assertEqual(conversation["system"], "Be brief.")
        self.assertEqual([message["role"] for message in conversation["messages"]], ["user", "assistant"])
        answer = conversation["messages"][1]["content"]
        self.assertEqual(text.count(answer), 2, text)  # the answer and, greedily, the same again
        self.assertIn("temperature        0", text)
        self.assertIn("tokens of context used", text)

    def test_lines_of_one_message(self):
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "chat.json"
            script = f'"""\none\n/new\n"""\nthree\\\nfour\n//five\n/save {saved}\n'
            self.assert_ok(hearth("chat", *self.OPTIONS, stdin=script))
            messages = json.loads(saved.read_text())["messages"]
        self.assertEqual([m["content"] for m in messages if m["role"] == "user"], ["one\n/new", "three\nfour", "/five"])

    def test_failed_commands_are_told_and_the_chat_goes_on(self):
        result = hearth("chat", *self.OPTIONS, stdin="/fly\n/set temperature hot\n/load /nonexistent\n/regen\nHello\n")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.splitlines()), 4, result.stderr)
        self.assertTrue(result.stdout.strip())


class TerminalTest(CliTest):
    """What needs a person: editing, Ctrl-C, Ctrl-D."""

    def test_chat(self):
        with tempfile.TemporaryDirectory() as state:
            chat = Terminal("chat", "--temperature", "0", XDG_STATE_HOME=state)
            chat.wait_for("/help lists")
            chat.wait_for("> ")
            chat.send("Tell me a very long story about a shi\x7f\x7f\x7ffox.\r")  # with three characters taken back
            chat.wait_for("fox")
            chat.wait_for("[a-z]{3}")
            time.sleep(1)
            chat.send("\x03")
            chat.wait_for("stopped")
            chat.wait_for("> ")
            chat.send("half a line\x03")
            chat.wait_for("Ctrl-D or /exit leaves")
            chat.wait_for("> ")
            chat.send("/save " + state + "/chat.json\r")
            chat.wait_for("Saved")
            messages = json.loads(Path(state, "chat.json").read_text())["messages"]
            self.assertEqual(messages[0]["content"], "Tell me a very long story about a fox.")
            self.assertEqual(messages[1]["role"], "assistant")
            chat.wait_for("> ")
            chat.send("\x04")
            self.assertEqual(chat.close(), 0)
            history = Path(state, "hearth/chat_history")
            self.assertEqual(history.stat().st_mode & 0o777, 0o600)
            # The next chat finds the line with the arrow key.
            chat = Terminal("chat", XDG_STATE_HOME=state)
            chat.wait_for("> ")
            chat.send("\x1b[A")
            chat.wait_for("/save")
            chat.send("\x15\x04")
            self.assertEqual(chat.close(), 0)

    def test_characters_beyond_ascii_are_typed_whole(self):
        with tempfile.TemporaryDirectory() as state:
            chat = Terminal("chat", "--max-tokens", "1", XDG_STATE_HOME=state, LC_ALL="C")
            chat.wait_for("> ")
            chat.send("caf\u00e9 \u6f22\U0001f525\r")
            chat.wait_for("max-tokens")
            chat.wait_for("> ")
            chat.send(f"/save {state}/chat.json\r")
            chat.wait_for("Saved")
            chat.send("/exit\r")
            self.assertEqual(chat.close(), 0)
            self.assertEqual(json.loads(Path(state, "chat.json").read_text())["messages"][0]["content"], "caf\u00e9 \u6f22\U0001f525")

    def test_run_without_a_prompt_does_not_wait_for_the_keyboard(self):
        run = Terminal("run")
        self.assertEqual(run.close(), 2)

    def test_control_c_stops_run(self):
        run = Terminal("run", "Tell me a very long story.")
        run.wait_for("[a-z]{3}")
        run.send("\x03")
        self.assertEqual(run.close(), 130)

    def assert_bar(self, output, label):
        """A bar with that label was drawn with rising figures, and wiped in the end."""
        steps = [int(step) for step in re.findall(re.escape(label) + r" \[[#.]+\] +(\d+)%", output)]
        self.assertGreaterEqual(len(steps), 1, output)
        self.assertEqual(steps, sorted(steps))
        behind = output[output.rindex(label):]
        self.assertIn("\r\x1b[K", behind)
        return behind[behind.index("\r\x1b[K") + 4:]

    def test_first_load_shows_progress(self):
        label = "Preparing the model (once)"
        with tempfile.TemporaryDirectory() as cache:
            run = Terminal("run", "Hi", "--max-tokens", "2", XDG_CACHE_HOME=cache, HEARTH_PROGRESS_AFTER_MS=0)
            self.assertEqual(run.close(60), 0)
            output = run.output.decode()
            self.assertNotIn("\x1b]", output)
            self.assertNotIn(label, self.assert_bar(output, label))
            # The second start has nothing to prepare.
            run = Terminal("run", "Hi", "--max-tokens", "2", XDG_CACHE_HOME=cache, HEARTH_PROGRESS_AFTER_MS=0)
            self.assertEqual(run.close(60), 0)
            self.assertNotIn(label.encode(), run.output)

    def test_a_long_prompt_shows_progress_until_the_answer_begins(self):
        prompt = " ".join([TEXT] * 4)
        for arguments in (["run", "--raw", prompt, "--max-tokens", "4", "--temperature", "0"],):
            run = Terminal(*arguments, HEARTH_PROGRESS_AFTER_MS=0)
            self.assertEqual(run.close(120), 0)
            answer = self.assert_bar(run.output.decode(), "Reading the prompt")
            self.assertNotIn("%", answer)
            self.assertTrue(answer.strip(), run.output)
        with tempfile.TemporaryDirectory() as state:
            chat = Terminal("chat", "--temperature", "0", "--max-tokens", "4", XDG_STATE_HOME=state, HEARTH_PROGRESS_AFTER_MS=0)
            chat.wait_for("> ")
            for _ in range(8):  # a terminal takes lines of some thousand characters at once
                chat.send(TEXT + "\\\r")
                chat.wait_for(r"\.\. ")
            chat.send("Go on.\r")
            self.assert_bar(chat.wait_for("max-tokens"), "Reading the prompt")
            chat.wait_for("> ")  # what is typed before the line editor is ready is lost
            chat.send("\x04")
            self.assertEqual(chat.close(), 0)

    def test_the_check_of_a_kv_type_shows_progress(self):
        with tempfile.TemporaryDirectory() as cache:
            run = Terminal("run", "Hi", "--max-tokens", "2", "--kv-type", "int8", XDG_CACHE_HOME=cache, HEARTH_PROGRESS_AFTER_MS=0)
            self.assertEqual(run.close(120), 0)
            output = run.output.decode()
            self.assert_bar(output, "Checking the KV type (once)")
            self.assertLess(output.rindex("Preparing"), output.index("Checking"))

    def test_comparing_kv_types_shows_progress(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(TEXT * 4)
            file.flush()
            run = Terminal("perplexity", "--file", file.name, "--context", "512", "--kv-type", "int8", "--compare-kv",
                           HEARTH_PROGRESS_AFTER_MS=0)
            self.assertEqual(run.close(120), 0)
            self.assertIn("perplexity", self.assert_bar(run.output.decode(), "Comparing"))


if __name__ == "__main__":
    if not MODEL.exists():
        print(f"SKIPPED: no {MODEL}; set HEARTH_MODELS to the folder of the development models")
        sys.exit(77)
    unittest.main(verbosity=1)
