"""One HTTP/1.1 connection to an upstream, one answer at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

HIGH_WATER = 256 * 1024
"""Bytes that wait for a reader before the socket is read no further; a head may not be larger."""

_TOO_LARGE = 413
_BODY_ENDS = frozenset({b"content-length", b"transfer-encoding"})


class BrokenConnectionError(ConnectionError):
    """The upstream closed or reset the connection within an answer, or sent what is not HTTP."""


class Connection(asyncio.Protocol):
    """A socket and the answer that is being read from it.

    What arrived before a fault is read before the fault is raised. A body ends by its length, its
    last chunk or, where the head gives neither, with the connection; interim answers (1xx) are
    skipped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        # The parser calls the list itself: a chunk of the body costs no Python call.
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)
        # What browsers and other clients forgive in an answer, too.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_bytes = 0
        self._paused = False
        self._interim = False
        self._ends_with_connection = False
        self._error: Exception | None = None
        self._headers: dict[bytes, bytes] = {}
        self.status = 0
        """The answer's status; 0 until its head is there."""
        self.heard = False
        """Whether a byte came since the last request."""
        self.complete = True
        """The answer is there to its end, if not read to it."""
        self.keep = True
        """The connection may carry another request."""
        self.lost = False
        self.cut = False
        """Closed by `abort`, not by the other side."""
        self.idle_since = 0.0
        self.on_piece: Callable[[], bool] | None = None
        """Asked, while a reader waits, before it is woken: whether what came has been taken."""
        self.on_complete: Callable[[Connection], None] | None = None
        self.on_lost: Callable[[Connection], None] | None = None

    # The exchange

    def send(self, request: bytes) -> None:
        """Send one whole request. The answer before it must be complete."""
        self._parts.clear()
        self._waiting_bytes = 0
        self._headers = {}
        self.on_piece = None
        self.status = 0
        self.heard = self.complete = self.keep = self._ends_with_connection = False
        if self._transport is not None:
            self._transport.write(request)

    async def head(self) -> None:
        """Wait for the answer's status and headers. Raises `BrokenConnectionError`."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self.arrival()

    def piece(self) -> bytes | None:
        """What the next `take` gives, where it came in one piece; it stays there."""
        return self._parts[0] if len(self._parts) == 1 else None

    def take(self) -> bytes | None:
        """All of the body that has arrived; b"" at its end, None where `arrival` is to be awaited.

        Raises `BrokenConnectionError` once everything before it has been taken.
        """
        parts = self._parts
        if not parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            return None
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._waiting_bytes = 0
        if self._paused:
            self._paused = False
            if self._transport is not None and not self.lost:
                self._transport.resume_reading()
        return data

    def arrival(self) -> asyncio.Future[None]:
        """Done when there may be something new: bytes, the end, a fault. For one reader at a time.

        No coroutine: a stream waits for each of its tokens here.
        """
        self._waiter = self._loop.create_future()
        return self._waiter

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, their names in lower case; repeated ones joined by a comma."""
        return {
            name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()
        }

    def header(self, name: bytes) -> str:
        """One header by its lower-case name; "" where it is missing."""
        return self._headers.get(name, b"").decode("latin-1")

    def abort(self) -> None:
        """Close the socket now. A reader that waits gets a `BrokenConnectionError`."""
        if self._error is None:
            self.cut = True
            self._error = BrokenConnectionError("the connection was closed on this side")
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _is_awaited(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the last one has left, and its answer says so.

        An upstream may answer before it has read all of a request, and read no further. What has
        left to the kernel may be unread too; after a 413 it is.
        """
        if not self.keep or self.lost or self._transport is None or self.status == _TOO_LARGE:
            return False
        return self._transport.get_write_buffer_size() == 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bind the socket."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came; wake the reader once for all of it."""
        if self.complete:
            # Nobody asked: what follows would be taken for the next answer.
            self.abort()
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break("the upstream sent something that is not HTTP", error)
            return
        self._arrived(len(data))

    def _arrived(self, size: int) -> None:
        if self.complete:
            if self.on_complete is not None:
                self.on_complete(self)
        else:
            self._waiting_bytes += size
            if self._waiting_bytes > HIGH_WATER and not self._paused and self._transport:
                if not self.status:
                    # Interim answers count too: nobody takes anything before the head is there.
                    self._break(f"the head of the answer is larger than {HIGH_WATER:,} bytes")
                    return
                self._paused = True
                self._transport.pause_reading()
            elif self.on_piece is not None and self._is_awaited() and self.on_piece():
                return
        self._wake()

    def eof_received(self) -> None:
        """The other side sends no more; the transport closes."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.lost = True
        self._end(exc)
        self._transport = None
        if self.on_lost is not None:
            self.on_lost(self)
        # The parser holds our methods, which hold us.
        del self._parser, self.on_body

    def _end(self, exc: Exception | None) -> None:
        if self.complete:
            self.keep = False
        elif self.status and self._ends_with_connection and exc is None and self._error is None:
            self.complete = True
            self.keep = False
        elif self._error is None:
            self._error = BrokenConnectionError("the upstream closed the connection")
            self._error.__cause__ = exc
        self._wake()

    def _break(self, words: str, cause: Exception | None = None) -> None:
        self._error = BrokenConnectionError(words)
        self._error.__cause__ = cause
        self.abort()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A second answer to one request: not to be mixed up with the next one's."""
        if self.complete:
            self.keep = False
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which does not count."""
        if self.status:
            return
        name = name.lower()
        known = self._headers.get(name)
        self._headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:
            self._headers = {}
            return
        self.status = status
        self._ends_with_connection = _BODY_ENDS.isdisjoint(self._headers)

    def on_message_complete(self) -> None:
        """The body is there."""
        if self._interim:
            return
        self.complete = True
        self.keep = self._parser.should_keep_alive()
