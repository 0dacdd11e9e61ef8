"""hearth serve --session-dir over a restart. HEARTH_BIN: the binary; HEARTH_MODEL: the model. Skipped without them."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

BIN, MODEL = os.environ.get("HEARTH_BIN"), os.environ.get("HEARTH_MODEL")
SYSTEM = "You keep the lighthouse at the end of the long stone pier, and you know every ship and every keeper before you. " * 8


class Server:
    """A server of its own; leaves by SIGTERM."""

    def __init__(self, *arguments):
        env = {k: v for k, v in os.environ.items() if k != "HEARTH_API_KEY"}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([BIN, "serve", "--model", MODEL, "--port", "0", *arguments], stdout=subprocess.PIPE,
                                        stderr=self.log, env=env, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline()).group()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.url + "/ready", timeout=10):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server is not ready")

    def chat(self, *turns):
        messages = [{"role": "system", "content": SYSTEM}]
        messages += [{"role": "assistant" if i % 2 else "user", "content": turn} for i, turn in enumerate(turns)]
        body = json.dumps({"messages": messages, "max_tokens": 24, "temperature": 0}).encode()
        request = urllib.request.Request(self.url + "/v1/chat/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            answer = json.load(response)
        return answer["choices"][0]["message"]["content"], answer["usage"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        self.log.close()
        if error == (None, None, None) and code != 0:
            raise AssertionError(f"the server ended with {code}")


@unittest.skipUnless(BIN and MODEL, "HEARTH_BIN and HEARTH_MODEL are not set")
class SessionDirTest(unittest.TestCase):
    def test_a_conversation_goes_on_after_a_restart(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server("--session-dir", folder) as server:
                answer, usage = server.chat("Who was here before you?")
                self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 0)
                first_prompt = usage["prompt_tokens"]
            self.assertEqual([path.suffix for path in Path(folder).iterdir()], [".kv"])
            turns = ("Who was here before you?", answer, "And before him?")
            with Server("--session-dir", folder) as server:
                second, usage = server.chat(*turns)
                self.assertGreaterEqual(usage["prompt_tokens_details"]["cached_tokens"], first_prompt // 64 * 64)
            with Server() as server:
                computed, usage = server.chat(*turns)
                self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 0)
            self.assertEqual(second, computed)

    def test_a_damaged_file_is_told_and_the_server_starts(self):
        with tempfile.TemporaryDirectory() as folder:
            with Server("--session-dir", folder) as server:
                server.chat("Hello")
            [path] = Path(folder).iterdir()
            damaged = bytearray(path.read_bytes())
            damaged[-1] ^= 1
            path.write_bytes(damaged)
            with Server("--session-dir", folder) as server:
                _, usage = server.chat("Hello")
                self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 0)
                server.log.seek(0)
                self.assertIn(path.name.encode(), server.log.read())


if __name__ == "__main__":
    unittest.main()
