"""Server-sent events, read as the standard says, with the time at which each was complete.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
Lines end at CR, LF or CRLF and nowhere else; an event leaves at its empty line; what the end of
the stream cuts off is no event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

__all__ = ["ReceivedEvent", "SSEParser"]

LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event, or a comment that stood between events.

    `received_at` is the `time.monotonic()` at which its last byte was read; `raw` are its bytes
    (those of a comment inside an event are the event's).
    """

    data: str
    id: str
    """The last id that was seen, as the standard keeps it; "" for none."""
    event: str
    received_at: float
    raw: bytes
    comment: str | None = None
    """The comment's text; None for an event."""

    def json(self) -> object:
        """`data` decoded."""
        return msgspec.json.decode(self.data)


class SSEParser:
    """Feed it bytes as they come; it gives back what they completed.

    `retry` is the last reconnection time that the server named, in milliseconds.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self.last_id = ""
        self._line = bytearray()
        self._raw = bytearray()
        self._data: list[str] = []
        self._event = ""
        self._started = False
        self._after_cr = False

    @property
    def pending(self) -> bytes:
        """The bytes of an event that is not complete."""
        return bytes(self._raw + self._line)

    def feed(self, data: bytes, at: float) -> list[ReceivedEvent]:
        """Take in bytes that were read at the time `at`; give the events and comments done."""
        # A CR that ended the last read has ended its line; a LF that belongs to it is no other.
        start = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = data.endswith(b"\r") if data else self._after_cr
        received: list[ReceivedEvent] = []
        for match in LINE_END.finditer(data, start):
            self._line += data[start : match.start()]
            start = match.end()
            line, self._line = bytes(self._line), bytearray()
            self._raw += line + match.group()
            if not self._started:
                line, self._started = line.removeprefix(BOM), True
            done = self._take(line.decode("utf-8", "replace"), at)
            if done is not None:
                received.append(done)
        self._line += data[start:]
        return received

    def _take(self, line: str, at: float) -> ReceivedEvent | None:
        if not line:
            return self._dispatch(at)
        name, _, value = line.partition(":")
        if name == "":
            return self._comment(value, at)
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)
            case _:
                pass
        return None

    def _comment(self, text: str, at: float) -> ReceivedEvent:
        within = self._data or self._event
        raw = b"" if within else self._taken()
        return ReceivedEvent("", self.last_id, "", at, raw, text.strip())

    def _taken(self) -> bytes:
        raw, self._raw = bytes(self._raw), bytearray()
        return raw

    def _dispatch(self, at: float) -> ReceivedEvent | None:
        raw = self._taken()
        data, self._data = self._data, []
        event, self._event = self._event, ""
        if not data:
            return None
        return ReceivedEvent("\n".join(data), self.last_id, event or "message", at, raw)
