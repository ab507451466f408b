"""One connection of the scripted upstream: HTTP/1.1, with a hand on the socket.

Small on purpose: what a server normally hides (when the peer left, whether the peer reads, how
a connection ends) is what a test of faults needs. Speaks HTTP/1.1 with keep-alive; one request
at a time; no TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import cast

import httptools

__all__ = ["Connection", "Handler", "Incoming"]


class Incoming:
    """A request as it came off the socket; header names are lower case."""

    def __init__(self) -> None:
        self.method = ""
        self.target = ""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.keep_alive = True


Handler = Callable[["Connection", Incoming], Awaitable[None]]
WRITES_A_TURN = 8
RESET = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """The server's end of one client's connection.

    Args: `handler` answers a request through `start`, `write`, `end`; `on_change` is called
    when the connection opened or closed.

    `closed_by_peer`: the client closed it, by FIN or reset; `blocked_since`: the monotonic time
    since which the kernel takes no more bytes, None while it does.
    """

    def __init__(self, handler: Handler, on_change: Callable[[Connection], None]) -> None:
        self._handler = handler
        self._on_change = on_change
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = Incoming()
        self._waiting: list[Incoming] = []
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._chunked = False
        self._writes = 0
        self.open = False
        self.closed_by_peer = False
        self.answering = False
        self.head_sent = False
        self.failure: Exception | None = None
        self.blocked_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)
        # Nothing is queued in this process: a token counts as sent once the kernel has it.
        self._transport.set_write_buffer_limits(high=0)
        self._writable.set()
        self.open = True
        self._on_change(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.start(400, {"connection": "close"}, length=0)
            self.drop(reset=False)

    def eof_received(self) -> None:
        """Called by asyncio: the peer closed its side, which counts as leaving."""
        self.closed_by_peer = True
        self.drop(reset=False, by_us=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.failure = exc
        if self.open:
            self.closed_by_peer = True
        self._closed()

    def pause_writing(self) -> None:
        """Called by asyncio: the kernel's buffer is full, the peer does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self._writable.set()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._incoming = Incoming()

    def on_url(self, url: bytes) -> None:
        """Called by the parser, perhaps piece by piece."""
        self._incoming.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        incoming = self._incoming
        incoming.method = self._parser.get_method().decode("latin-1")
        incoming.keep_alive = self._parser.should_keep_alive()
        if incoming.headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by the parser, perhaps piece by piece."""
        self._incoming.body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._waiting.append(self._incoming)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        try:
            while self._waiting and self.open:
                incoming = self._waiting.pop(0)
                self.answering, self.head_sent = True, False
                await self._handler(self, incoming)
                self.answering = False
                if not incoming.keep_alive:
                    self.drop(reset=False)
        finally:
            self._task = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that answers the current request."""
        return self._task

    def start(self, status: int, headers: Mapping[str, str], *, length: int | None = None) -> None:
        """Send the response head. Without `length`, the body is chunked."""
        self._chunked = length is None
        self.head_sent = True
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = "Scripted"
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", length)
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{k}: {v}" for k, v in headers.items())]
        lines += [f"{framing[0]}: {framing[1]}", "", ""]
        self._send("\r\n".join(lines).encode("latin-1"))

    async def write(self, data: bytes, *, framed: bool = True) -> None:
        """Send body bytes, then wait until the kernel has taken them all."""
        if framed and self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._send(data)
        self._writes += 1
        if self._writes % WRITES_A_TURN == 0:
            # A client as fast as this server would never let another have its turn.
            await asyncio.sleep(0)
        if not self._writable.is_set():
            self.blocked_since = time.monotonic()
            await self._writable.wait()
            self.blocked_since = None

    async def end(self) -> None:
        """End the body as HTTP wants it; the connection stays for the next request."""
        if self._chunked:
            await self.write(b"0\r\n\r\n", framed=False)
        self.answering = False

    def drop(self, *, reset: bool, by_us: bool = True) -> None:
        """Close at once: with a TCP reset, or a plain close after what was already written."""
        if self._transport is None:
            return
        transport = self._transport
        if by_us:
            self.open = False
        if reset:
            raw = cast("socket.socket | None", transport.get_extra_info("socket"))
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()
        elif by_us:
            transport.close()
        else:
            transport.abort()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and self.open:
            self._transport.write(data)

    def _closed(self) -> None:
        self._transport = None
        self.open = False
        self._writable.set()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._on_change(self)
