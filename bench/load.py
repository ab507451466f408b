"""The clients: raw keep-alive connections that count tokens and time each one.

A token is one `~` in what comes back (see `bench.upstream`), so counting runs at the speed of
`bytes.count`, whatever dialect a subject speaks. With `stamps` each `~` is followed by the time at
which the upstream wrote it; the difference to now is the latency that the subject added, the two
loopback hops and this client's own wake-up included.
"""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from bench.completions import MARK, STAMP_DIGITS

__all__ = ["Call", "Client", "Load", "LoadError", "quantile"]

_END = b"\n0\r\n\r\n"
_FRAME = b"data: "
_STATUS = b"HTTP/1.1 200"


class LoadError(RuntimeError):
    """A subject answered with something else than a complete stream; holds what it said."""


@dataclass(frozen=True)
class Call:
    """One request to a subject: where it goes, and its bytes."""

    port: int
    raw: bytes

    @classmethod
    def post(cls, port: int, path: str, body: Mapping[str, object]) -> Call:
        """A JSON POST with keep-alive."""
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n"
            "Authorization: Bearer sk-bench-0123456789abcdef\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        return cls(port, head.encode() + data)


@dataclass
class Load:
    """What all clients of one measurement saw."""

    stamps: bool = False
    tokens: int = 0
    frames: int = 0
    bytes: int = 0
    completed: int = 0
    failures: list[str] = field(default_factory=list)
    first_token: array[float] = field(default_factory=lambda: array("d"))
    """Seconds from a request's write to its first token, one a stream."""
    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds that each stamped token took."""


class Client(asyncio.Protocol):
    """One connection. `send` starts a stream; `on_end` is called when it is complete."""

    def __init__(self, load: Load, on_end: Callable[[Client], None] | None = None) -> None:
        self._load = load
        self._on_end = on_end
        self._closing = False
        self.streaming = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not derive from it

    def connection_lost(self, exc: Exception | None) -> None:
        if self.streaming and not self._closing:
            self._fail(f"The connection closed mid-stream: {exc or self._tail!r}")

    def send(self, raw: bytes) -> None:
        """Start a stream."""
        self._waiting_for_head = True
        self._waiting_for_token = True
        self._tail = b""
        self.streaming = True
        self._sent = time.monotonic()
        self._transport.write(raw)

    def close(self) -> None:
        """Leave, whatever is under way."""
        self._closing = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        load = self._load
        if self._closing:
            return
        if self._waiting_for_head:
            data = self._tail + data
            self._tail = data if len(data) < len(_STATUS) else b""
            if self._tail:
                return
            if not data.startswith(_STATUS):
                self._fail(data[:500].decode(errors="replace"))
                return
            self._waiting_for_head = False
        tokens = data.count(MARK)
        if tokens and self._waiting_for_token:
            self._waiting_for_token = False
            load.first_token.append(time.monotonic() - self._sent)
        load.tokens += tokens
        load.bytes += len(data)
        joined = self._tail + data
        load.frames += joined.count(_FRAME)
        if load.stamps:
            self._read_stamps(joined)
        else:
            self._tail = joined[-5:]  # one byte short of what is searched: none is found twice
        if joined.endswith(_END):
            self._end()

    def _read_stamps(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1000
        latencies = self._load.latencies
        at = data.find(MARK)
        while 0 <= at <= len(data) - STAMP_DIGITS - 1:
            latencies.append((now - int(data[at + 1 : at + 1 + STAMP_DIGITS])) / 1e6)
            at = data.find(MARK, at + 1)
        # A stamp cut by the read waits for its rest; its frame's start is counted by then.
        self._tail = data[at:] if at >= 0 else data[-5:]

    def _end(self) -> None:
        self.streaming = False
        self._load.completed += 1
        if self._on_end is not None:
            self._on_end(self)

    def _fail(self, why: str) -> None:
        self._load.failures.append(why)
        self.streaming = False
        self._closing = True
        self._transport.abort()


async def connect(call: Call, load: Load, on_end: Callable[[Client], None] | None = None) -> Client:
    """Open a connection for this call's subject."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(load, on_end), "127.0.0.1", call.port)
    return client


def quantile(values: array[float], share: float) -> float:
    """The value that `share` of all values do not exceed; nan when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
