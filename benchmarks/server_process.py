"""Servers as child processes, for the programs beside this file."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

READY_TIMEOUT_S = 300


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_server(command, port):
    """Starts a server, waits until it is ready, gives its base URL and process, and stops it."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(process, url, log, command)
            yield url, process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url):
    """Whether a GET succeeds, or there is no such path: llama-server has no /ready, and its /health waits for the model."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404
    except (urllib.error.URLError, OSError):
        return False


def wait_until_ready(process, url, log, command):
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            log.seek(0)
            tail = log.read().decode(errors="replace").strip().splitlines()[-1:]
            code = process.returncode
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise RuntimeError(f"{os.path.basename(command[0])}: {how}: {''.join(tail)}")
        if all(answers(url + path) for path in ("/health", "/ready")):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{os.path.basename(command[0])}: not ready after {READY_TIMEOUT_S} s")
