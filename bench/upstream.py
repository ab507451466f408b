"""An OpenAI-compatible upstream that is never the bottleneck.

Everything it sends is encoded beforehand; a raw protocol on uvloop writes it. What a completion
looks like is one setting for the whole server, changed by `GET /mode/<spec>`, so that no subject
has to be told:

    flat:N          N tokens at once, each its own SSE event and HTTP chunk
    paced:R:N       R tokens a second on each stream, N in all (0: without end)
    idle            one token, then silence on an open stream
    json:BYTES      a JSON document of about that size, cut into deltas of `JSON_CUT` characters

Every token's text holds exactly one `~`, so a client counts tokens by counting that byte, however
a server has merged or framed them. Paced tokens are `~` and 16 digits: the time of their write in
microseconds of CLOCK_MONOTONIC, which every process of a machine shares.
`GET /ticks` is the pacemaker alone, for a subject that makes its own tokens: a stamp each
millisecond.

Run: `python -m bench.upstream PORT`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from typing import cast

import uvloop

from bench.completions import (
    HEAD,
    MARK,
    ROLE,
    STAMP_DIGITS,
    chunk,
    end,
    event,
    json_answer,
    json_deltas,
    plain_answer,
)
from bench.process import raise_file_limit

_MAX_BODY = 1 << 24


class Pacer:
    """Writes to many streams at one rate, from one timer of a millisecond.

    A timer for each token of each stream would cost more than the token. Streams that open in the
    same millisecond of the period share a slot; each tick serves the slots that are due.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[deque[Stream]]] = {}
        self.tickers: set[asyncio.WriteTransport] = set()
        self._now = time.monotonic_ns() // 1_000_000
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tick for as long as there is anybody to serve."""
        if self._task is None or self._task.done():
            self._now = time.monotonic_ns() // 1_000_000
            self._task = asyncio.create_task(self._tick())

    def add(self, stream: Stream, period_ms: int) -> None:
        """Serve this stream every `period_ms` from now on."""
        self.start()
        if period_ms not in self._slots:
            self._slots[period_ms] = [deque() for _ in range(period_ms)]
        self._slots[period_ms][self._now % period_ms].append(stream)

    async def _tick(self) -> None:
        while self.tickers or any(any(wheel) for wheel in self._slots.values()):
            await asyncio.sleep(0.001)  # uvloop rounds to milliseconds
            now = time.monotonic_ns() // 1_000_000
            while self._now < now:
                self._now += 1
                for period, wheel in self._slots.items():
                    self._serve(wheel[self._now % period])
                if self.tickers:
                    stamp = b"%016d" % (time.monotonic_ns() // 1000)
                    for transport in self.tickers:
                        transport.write(stamp)

    @staticmethod
    def _serve(slot: deque[Stream]) -> None:
        for _ in range(len(slot)):
            stream = slot.popleft()
            if stream.token():
                slot.append(stream)


_PACED = event(b'{"content":"~0000000000000000"}')
_PACED_HEAD = b"%x\r\n" % len(_PACED) + _PACED.partition(b"~")[0] + MARK
_PACED_TAIL = _PACED.partition(b"~")[2][STAMP_DIGITS:] + b"\r\n"


class Stream:
    """One paced completion."""

    __slots__ = ("_left", "_transport", "_usage")

    def __init__(self, transport: asyncio.WriteTransport, tokens: int, usage: bool) -> None:
        self._transport = transport
        self._left = tokens or 1 << 60
        self._usage = usage

    def token(self) -> bool:
        """Write the next token; False when there is none left or nobody to take it."""
        if self._transport.is_closing():
            return False
        self._left -= 1
        stamp = b"%016d" % (time.monotonic_ns() // 1000)
        data = _PACED_HEAD + stamp + _PACED_TAIL
        self._transport.write(data if self._left else data + end(self._usage))
        return self._left > 0


class Mode:
    """What every completion looks like at the moment, and how many were begun since it was set."""

    def __init__(self) -> None:
        self.pacer = Pacer()
        self.set("flat:1")

    def set(self, spec: str) -> None:
        """Take a spec of the module's docstring."""
        kind, *numbers = spec.split(":")
        values = [int(number) for number in numbers]
        self.kind = kind
        self.served = 0
        self._ready: dict[bool, bytes] = {}
        if kind == "flat":
            tokens = chunk(event(b'{"content":" tok~"}')) * values[0]
        elif kind == "json":
            texts = json_deltas(values[0])
            deltas = [json.dumps({"content": text}, ensure_ascii=False) for text in texts]
            tokens = b"".join(chunk(event(delta.encode())) for delta in deltas)
        elif kind == "idle":
            self._ready = dict.fromkeys(
                (False, True), HEAD + ROLE + chunk(event(b'{"content":" tok~"}'))
            )
            return
        elif kind == "paced":
            self._period = 1000 // values[0]
            self._tokens = values[1]
            return
        else:
            raise ValueError(f"Unknown mode {spec!r}")
        self._ready = {usage: HEAD + ROLE + tokens + end(usage) for usage in (False, True)}

    def serve(self, transport: asyncio.WriteTransport, body: bytes) -> None:
        """Answer one completion request."""
        self.served += 1
        if b'"stream":true' not in body and b'"stream": true' not in body:
            transport.write(plain_answer())
            return
        usage = b'"include_usage"' in body
        if self.kind == "paced":
            transport.write(HEAD + ROLE)
            self.pacer.add(Stream(transport, self._tokens, usage), self._period)
        else:
            transport.write(self._ready[usage])


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another, as clients with keep-alive send them."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.WriteTransport", transport
        )  # uvloop's does not derive from it
        self._transport.set_write_buffer_limits(high=_MAX_BODY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._mode.pacer.tickers.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _content_length(head)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            self._mode.serve(self._transport, body)
            return
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/mode/"):
            self._mode.set(path[len(b"/mode/") :].decode())
            self._transport.write(json_answer(b"{}"))
        elif path == b"/served":
            self._transport.write(json_answer(b"%d" % self._mode.served))
        elif path == b"/ticks":
            self._mode.pacer.tickers.add(self._transport)
            self._mode.pacer.start()
        else:
            models = b'{"object":"list","data":[{"id":"bench","object":"model"}]}'
            self._transport.write(json_answer(models))


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return min(int(value), _MAX_BODY)
    return 0


async def serve(port: int) -> None:
    """Listen on a loopback port until killed."""
    mode = Mode()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(mode), "127.0.0.1", port, backlog=8192, reuse_address=True
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(serve(int(sys.argv[1])))
