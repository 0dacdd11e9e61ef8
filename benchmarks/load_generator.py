"""Many streamed chats against an OpenAI-compatible server at once, each arrival timed. Standard library only.

One thread and one selector: while the server runs, bytes are only received and stamped; HTTP, SSE and JSON are read afterwards,
so that the client takes as little as possible from the processor that both share.
"""

import bisect
import json
import math
import selectors
import socket
import ssl
import time
import urllib.parse

READ_SIZE = 1 << 16


class Stream:
    """One request and what came back, with times on time.monotonic()'s clock."""

    def __init__(self, base_url, body, api_key=None):
        parts = urllib.parse.urlsplit(base_url)
        self.host, self.tls = parts.hostname, parts.scheme == "https"
        self.port = parts.port or (443 if self.tls else 80)
        path = parts.path.rstrip("/")
        path = (path if path.endswith("/v1") else path + "/v1") + "/chat/completions"
        data = json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Content-Type: application/json", "Accept: text/event-stream",
                f"Content-Length: {len(data)}", "Connection: close"]
        if api_key:
            head.append(f"Authorization: Bearer {api_key}")
        self.request = "\r\n".join(head).encode() + b"\r\n\r\n" + data
        self.raw, self.arrivals, self.ends = [], [], []  # pieces, their times, the bytes received up to then
        self.num_bytes = self.num_events = 0
        self.started = self.ended = None
        self.error = None
        self.socket = None

    def start(self):
        self.started = time.monotonic()
        try:
            self.socket = socket.create_connection((self.host, self.port), timeout=30)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=self.host)
            self.socket.sendall(self.request)
            self.socket.setblocking(False)
        except OSError as error:
            self.fail(str(error))

    def fail(self, message):
        self.error = self.error or message
        self.finish()

    def finish(self):
        self.ended = time.monotonic()
        if self.socket:
            self.socket.close()

    def receive(self):
        """Reads what is there. False when the stream is over."""
        while True:
            try:
                piece = self.socket.recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            except OSError as error:
                self.fail(str(error))
                return False
            if not piece:
                self.finish()
                return False
            self.num_bytes += len(piece)
            self.num_events += piece.count(b"data:")
            self.raw.append(piece)
            self.arrivals.append(time.monotonic())
            self.ends.append(self.num_bytes)

    def time_of(self, raw_offset):
        """When the byte before this offset had come."""
        return self.arrivals[min(bisect.bisect_left(self.ends, raw_offset), len(self.arrivals) - 1)]

    def result(self):
        """{"error", "started", "ended", "times": of each piece of text, "tokens", "prompt_tokens", "text"}"""
        result = {"error": self.error, "started": self.started, "ended": self.ended, "times": [], "tokens": 0, "prompt_tokens": 0, "text": ""}
        try:
            self.read_events(result)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            result["error"] = result["error"] or f"the answer cannot be read: {error!r}"
        if not result["error"] and not result["times"]:
            result["error"] = "no text came"
        result["tokens"] = result["tokens"] or len(result["times"])
        return result

    def read_events(self, result):
        raw = b"".join(self.raw)
        head, separator, _ = raw.partition(b"\r\n\r\n")
        if not separator:
            raise ValueError("the connection was closed before an answer")
        status = int(head.split(None, 2)[1])
        start = len(head) + 4
        if status != 200:
            result["error"] = f"HTTP {status}: {raw[start:start + 300].decode(errors='replace')}"
            return
        chunked = b"transfer-encoding: chunked" in head.lower()
        body, places = dechunk(raw, start) if chunked else (raw[start:], [(0, start)])
        offset = 0
        for line in body.split(b"\n"):
            offset += len(line) + 1
            line = line.strip()
            if not line.startswith(b"data:") or line == b"data: [DONE]":
                continue
            event = json.loads(line[5:])
            if "error" in event:
                result["error"] = json.dumps(event["error"])
            usage = event.get("usage")
            if usage:
                result["tokens"] = usage.get("completion_tokens", 0)
                result["prompt_tokens"] = usage.get("prompt_tokens", 0)
            for choice in event.get("choices") or []:
                text = (choice.get("delta") or {}).get("content") or (choice.get("delta") or {}).get("reasoning_content")
                if text:
                    result["text"] += text
                    # The newline of the line is its last byte.
                    body_offset, raw_offset = places[bisect.bisect_right(places, (offset - 1, math.inf)) - 1]
                    result["times"].append(self.time_of(raw_offset + offset - body_offset))


def dechunk(raw, start):
    """The body, and for each chunk (offset in the body, offset in raw)."""
    pieces, places, length = [], [], 0
    while True:
        end = raw.find(b"\r\n", start)
        if end < 0:
            break  # cut off
        size = int(raw[start:end].split(b";")[0], 16)
        if size == 0:
            break
        places.append((length, end + 2))
        pieces.append(raw[end + 2:end + 2 + size])
        length += len(pieces[-1])
        start = end + 2 + size + 2
    return b"".join(pieces), places or [(0, start)]


def run_streams(streams, timeout_s, later=None, ready=None):
    """Runs all to their end. `later` is started once ready(streams) is true."""
    selector = selectors.DefaultSelector()
    begin = time.monotonic()
    open_streams = set()

    def launch(stream):
        stream.start()
        if not stream.ended:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
            open_streams.add(stream)

    for stream in streams:
        launch(stream)
    while open_streams or later:
        if later and (not open_streams or ready(streams)):
            launch(later)
            later = None
        for key, _ in selector.select(timeout=0.5):
            stream = key.data
            sock = stream.socket
            # Unregister needs the socket as it was before it was closed.
            descriptor = sock.fileno()
            if not stream.receive():
                selector.unregister(descriptor)
                open_streams.discard(stream)
        if time.monotonic() - begin > timeout_s:
            for stream in open_streams:
                stream.fail(f"no end within {timeout_s:.0f} s")
            break
    selector.close()


def percentile(values, part):
    """Nearest rank: the smallest value that `part` of all are not above. None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def gaps_ms(result, begin=-math.inf, end=math.inf):
    """Milliseconds between one stream's pieces of text, of the gaps that touch the time from begin to end."""
    times = result["times"]
    return [1000 * (after - before) for before, after in zip(times, times[1:]) if after > begin and before < end]


def summarise(results):
    """The figures of chats that ran together."""
    good = [result for result in results if not result["error"]]
    summary = {"chats": len(results), "failed": len(results) - len(good)}
    if len(good) < len(results):
        summary["first_error"] = next(result["error"] for result in results if result["error"])
    if not good:
        return summary
    tokens = sum(result["tokens"] for result in good)
    seconds = max(result["times"][-1] for result in good) - min(result["started"] for result in good)
    first = [1000 * (result["times"][0] - result["started"]) for result in good]
    gaps = [gap for result in good for gap in gaps_ms(result)]
    return summary | {"tokens": tokens, "prompt_tokens": sum(result["prompt_tokens"] for result in good), "seconds": seconds,
                      "tokens_per_second": tokens / seconds, "first_token_p50_ms": percentile(first, 0.5),
                      "first_token_p95_ms": percentile(first, 0.95), "inter_token_p50_ms": percentile(gaps, 0.5),
                      "inter_token_p95_ms": percentile(gaps, 0.95)}


def summarise_stall(short, long):
    """What a long prompt does to the chats beside it: their gaps before it came, and until its first token."""
    summary = {"failed": sum(bool(result["error"]) for result in short + [long])}
    if summary["failed"]:
        return summary | {"first_error": next(result["error"] for result in short + [long] if result["error"])}
    sent, first = long["started"], long["times"][0]
    before = [gap for result in short for gap in gaps_ms(result, end=sent)]
    during = [gap for result in short for gap in gaps_ms(result, begin=sent, end=first)]
    return summary | {"prompt_tokens": long["prompt_tokens"], "long_first_token_ms": 1000 * (first - sent),
                      "before_p95_ms": percentile(before, 0.95), "during_p95_ms": percentile(during, 0.95),
                      "during_max_ms": max(during, default=None), "gaps_during": len(during)}
