"""An HTTP client for streams that hides nothing: one socket, exact bytes, exact times.

    with open_stream(f"{server.url}/v1/chat/completions", body) as stream:
        first = stream.next_event()
        ...                     # not reading is a slow client: the server's buffers fill up
        stream.abort()          # and this is one that leaves with a TCP reset

    events = read_events(url, body)            # all of them, to the end

Ordinary clients buffer, retry and pool; a test of timing and disconnects must not. Plain HTTP
only, no TLS.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httptools
import msgspec

from launchpad.testing.sse_parser import ReceivedEvent, SSEParser

__all__ = ["End", "ReceivedEvent", "Stream", "open_stream", "read_events"]

End = Literal["open", "complete", "cut", "reset"]
"""How the body ended: as HTTP wants it, by a close in its midst, or by a TCP reset."""

READ_SIZE = 65536
RESET = struct.pack("ii", 1, 0)


class Stream:
    """A response being read, as slowly or quickly as the test asks for events.

    `status` and `headers` (lower case) are there from the start. Iterating gives the events,
    without comments; `comments` collects those.
    """

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self.socket = connection
        self.timeout = timeout
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        """All bytes of the body read so far, without the chunks' framing."""
        self.comments: list[ReceivedEvent] = []
        self.ended: End = "open"
        self.parser = SSEParser()
        self._http = httptools.HttpResponseParser(self)
        self._new = bytearray()
        self._events: list[ReceivedEvent] = []
        self._has_head = False
        self._complete = False
        self._until_close = False

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection, if it is still open."""
        self.close()

    def __iter__(self) -> Iterator[ReceivedEvent]:
        """Each event up to the end of the body."""
        while (event := self.next_event()) is not None:
            yield event

    def next_event(self, timeout: float | None = None) -> ReceivedEvent | None:
        """The next event, None at the end (`ended` says which). Raises `TimeoutError`."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self._events and self.ended == "open":
            self._read(deadline)
        return self._events.pop(0) if self._events else None

    def read_all(self) -> list[ReceivedEvent]:
        """All events that are left. Raises `TimeoutError` when one takes too long."""
        return list(self)

    def read_body(self) -> bytes:
        """The whole body, for an answer that is no stream."""
        while self.ended == "open":
            self._read(time.monotonic() + self.timeout)
        return bytes(self.body)

    def read_head(self) -> None:
        """Wait for status and headers. Raises `TimeoutError`, `ConnectionError`."""
        deadline = time.monotonic() + self.timeout
        while not self._has_head:
            if self.ended != "open":
                raise ConnectionError(f"the connection ended before the response: {self.ended}")
            self._read(deadline)

    def has_bytes(self) -> bool:
        """Whether something waits to be read: an event, bytes, or the end."""
        if self._events or self.ended != "open":
            return True
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self) -> None:
        """Leave, as a client does that closes its socket. Unread bytes make that a reset."""
        self.socket.close()

    def abort(self) -> None:
        """Leave with a TCP reset."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def _read(self, deadline: float) -> None:
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(READ_SIZE)
        except TimeoutError as error:
            raise TimeoutError("nothing was received in time") from error
        except ConnectionResetError:
            self.ended = "reset"
            return
        at = time.monotonic()
        if not data:
            self.ended = "complete" if self._complete or self._until_close else "cut"
            return
        self._http.feed_data(data)
        new, self._new = bytes(self._new), bytearray()
        self.body += new
        for event in self.parser.feed(new, at):
            (self._events if event.comment is None else self.comments).append(event)
        if self._complete:
            self.ended = "complete"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.status = self._http.get_status_code()
        self._has_head = True
        framed = {"content-length", "transfer-encoding"} & self.headers.keys()
        self._until_close = not framed

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._new += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._complete = True


def open_stream(
    url: str,
    body: Mapping[str, Any] | bytes | None = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    receive_buffer: int | None = None,
    wait_head: bool = True,
) -> Stream:
    """Send a request and give its response once the head is there.

    Args:
        url: `http://host:port/path?query`.
        body: JSON to send, or bytes as they are; without it the method is GET.
        method: another method than that.
        headers: further request headers.
        timeout: seconds without a byte until `TimeoutError`, for this and later reads.
        receive_buffer: the kernel's receive buffer in bytes (Linux doubles it, and has a least):
            a small one fills soon when nobody reads.
        wait_head: False returns as soon as the request has left; `read_head()` then waits.

    Raises `ConnectionRefusedError`, `TimeoutError`, `ConnectionError`.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"not a plain http URL: {url}")
    payload = _encoded(body)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {"host": parts.netloc, "accept": "text/event-stream"}
    if body is not None:
        given |= {"content-type": "application/json", "content-length": str(len(payload))}
    given |= {name.lower(): value for name, value in (headers or {}).items()}
    verb = method or ("GET" if body is None else "POST")
    lines = [f"{verb} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
    connection = socket.socket()
    try:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        connection.connect((parts.hostname, parts.port or 80))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall("\r\n".join(lines).encode("latin-1") + payload)
        stream = Stream(connection, timeout)
        if wait_head:
            stream.read_head()
    except BaseException:
        connection.close()
        raise
    return stream


def _encoded(body: Mapping[str, Any] | bytes | None) -> bytes:
    if body is None or isinstance(body, bytes):
        return body or b""
    return msgspec.json.encode(body)


def read_events(
    url: str,
    body: Mapping[str, Any] | bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> list[ReceivedEvent]:
    """Send a request and read its whole stream: every event with the time of its arrival.

    Raises `ConnectionError` where the stream did not end as HTTP wants it.
    """
    with open_stream(url, body, headers=headers, timeout=timeout) as stream:
        events = stream.read_all()
        if stream.ended != "complete":
            raise ConnectionError(f"the stream ended in {stream.ended}")
    return events
