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


class Cycle(RequestResponseCycle):
    """One request and its response; one of uvicorn's becomes this by its `__class__`.

    - A head that comes with the first bytes of its body leaves in one write with them, and headers
      that were looked at are not looked at again, by two patterns each.
    - An HTTP/1.0 client gets a body without a length as it is, up to the connection's end;
      uvicorn sends it in chunks, which HTTP/1.0 does not know (RFC 9112, 6.1).
    - A connection that will be closed is not called `keep-alive` too.
    - One whose request was answered without asking for its body (`Expect`) is closed, and the
      answer says so (RFC 9110, 10.1.1).
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
            if self.waiting_for_100_continue and self.more_body:
                # What comes next is its body, or another request: nobody could tell.
                self.keep_alive = False
            if self._joins and (head := self._head(message)):
                self._held = head
                return
            if not self.keep_alive and message["type"] == "http.response.start":
                message = self._last(message)
        elif self._until_close and message["type"] == "http.response.body":
            await self._send_as_it_is(message)
            return
        await super().send(message)

    def _head(self, message: Any) -> bytes:
        """The head's bytes, which from now on count as sent; empty where uvicorn is to write it."""
        if not self.keep_alive or self.disconnected or self.flow.write_paused or self.access_log:
            return b""
        if message.get("status") != 200 or self.scope["method"] == "HEAD":
            return b""
        headers: Any = message.get("headers", [])
        # An iterator could not be read again, by uvicorn.
        lines = _lines((*self.default_headers, *headers)) if headers.__class__ is list else None
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
        self._complete()
        return True

    async def _send_as_it_is(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError("A part of the body was sent after its end.")
        if body := message.get("body", b""):
            self.transport.write(body)
        if not message.get("more_body", False):
            self._complete()

    def _complete(self) -> None:
        """What uvicorn does after a response's last bytes."""
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _last(self, message: Any) -> Any:
        """The head of a connection's last response."""
        headers = [(bytes(name).lower(), value) for name, value in message.get("headers", ())]
        has_body = self.scope["method"] != "HEAD" and message["status"] not in {204, 304}
        has_length = any(name == b"content-length" for name, _ in headers)
        if self.scope["http_version"] == "1.0" and has_body and not has_length:
            self._until_close = True
            self.chunked_encoding = False
            headers = [header for header in headers if header[0] != b"transfer-encoding"]
        return {**message, "headers": [kept for one in headers if (kept := _closing(*one))]}


def _closing(name: bytes, value: Any) -> tuple[bytes, Any] | None:
    """A header as it is where the connection will be closed; None where nothing is left of it."""
    if name != b"connection":
        return name, value
    options = [option.strip() for option in bytes(value).split(b",")]
    kept = [option for option in options if option.lower() != b"keep-alive"]
    return (name, b", ".join(kept)) if kept else None


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The lines of a head's headers; None where one of them is uvicorn's to judge, or to read."""
    try:
        lines = [_line(name, value) for name, value in headers]
    except (TypeError, AttributeError):  # not bytes
        return None
    return b"".join(lines) if all(lines) else None


@lru_cache(maxsize=256, typed=True)
def _line(name: bytes, value: bytes) -> bytes:
    name = name.lower()
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) or name in _FRAMING:
        return b""
    if name == b"connection" and value.lower() != b"keep-alive":
        return b""
    return b"%b: %b\r\n" % (name, value)
