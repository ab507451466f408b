"""`Cycle`: uvicorn's request and response, where it writes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

__all__ = ["Cycle"]

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_KEEP_ALIVE = (b"connection", b"keep-alive")


class Cycle(RequestResponseCycle):
    """One request and its response; one of uvicorn's becomes this by its `__class__`.

    - A head that comes with the first bytes of its body leaves in one write with them, and headers
      that were looked at are not looked at again, by two patterns each.
    - An HTTP/1.0 client gets a body without a length as it is, up to the connection's end;
      uvicorn sends it in chunks, which HTTP/1.0 does not know (RFC 9112, 6.1).
    - A connection that will be closed is not called `keep-alive` too.
    """

    _joins = False
    _held = b""
    _until_close = False

    def join_head(self) -> None:
        """The head comes next, and a part of its body at once after it."""
        self._joins = True

    @property
    def writes_chunks(self) -> bool:
        """Whether the head was written, and a body in chunks follows."""
        return bool(self.chunked_encoding) and not self._held

    async def send(self, message: Any) -> None:
        """Called by the application."""
        if self._held:
            held, self._held = self._held, b""
            if self._write_joined(held, message):
                return
            self.transport.write(held)
        elif not self.response_started:
            if self._joins and (head := self._head(message)):
                self._held = head
                return
            if not self.keep_alive:
                message = self._last(message)
        elif self._until_close:
            # What uvicorn still expects: more, or no more.
            more = bool(message.get("more_body", False))
            self.expected_content_length = len(message.get("body", b"")) + more
        await super().send(message)

    def _head(self, message: Any) -> bytes:
        """The head's bytes, which from now on count as sent; empty where uvicorn is to write it."""
        if not self.keep_alive or self.disconnected or self.flow.write_paused or self.access_log:
            return b""
        if message.get("status") != 200 or self.scope["method"] == "HEAD":
            return b""
        lines = _lines((*self.default_headers, *message.get("headers", ())))
        if lines is None:
            return b""
        self.response_started = self.chunked_encoding = True
        self.waiting_for_100_continue = False
        return b"%b%btransfer-encoding: chunked\r\n\r\n" % (STATUS_LINE[200], lines)

    def _write_joined(self, held: bytes, message: Any) -> bool:
        body = message.get("body", b"")
        if self.disconnected or not body or message["type"] != "http.response.body":
            return False
        if message.get("more_body", False):
            self.transport.write(b"%b%x\r\n%b\r\n" % (held, len(body), body))
            return True
        self.transport.write(b"%b%x\r\n%b\r\n0\r\n\r\n" % (held, len(body), body))
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True

    def _last(self, message: Any) -> Any:
        """The head of a connection's last response."""
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        if self.scope["http_version"] == "1.0" and _FRAMING.isdisjoint(n for n, _ in headers):
            self._until_close = True
            self.chunked_encoding = False
        kept = [one for one in headers if (one[0], one[1].lower()) != _KEEP_ALIVE]
        return {**message, "headers": kept}


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The lines of a head's headers; None where one of them is uvicorn's to judge, or to read."""
    lines = [_line(name, value) for name, value in headers]
    return b"".join(lines) if all(lines) else None


@lru_cache(maxsize=256)
def _line(name: bytes, value: bytes) -> bytes:
    name = name.lower()
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) or name in _FRAMING:
        return b""
    if name == b"connection" and value.lower() != b"keep-alive":
        return b""
    return b"%b: %b\r\n" % (name, value)
