"""Bytes of a server-sent event stream in, the `data` of its events out. Sync, pure, incremental.

Rules: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
Lines end at CR, LF or CRLF and nowhere else, several `data` lines of one event join with LF,
comments and other fields are skipped, an event that no blank line closes does not count.
"""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"
_MAY_BE_BOM = (b"", BOM[:1])


class EventTooLargeError(ValueError):
    """One event is larger than the limit."""


class EventSplitter:
    """Cuts a byte stream, fed in any pieces, into blocks of whole events.

    Line ends come out as LF. A block ends with a blank line; `data_of` reads one. Whole
    blocks rather than single events, because a reader that knows its stream's pattern decodes a
    block at once.
    """

    def __init__(self, max_event_bytes: int = 32 * 1024 * 1024) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._last = b""
        self._after_cr = False
        self._at_start = True
        self._max_event_bytes = max_event_bytes

    @property
    def between_events(self) -> bool:
        """Nothing is held: a piece that is one whole event with LF line ends may pass by `feed`."""
        return not (self._parts or self._after_cr or self._at_start)

    def feed(self, data: bytes) -> bytes:
        """Take one piece; return all events that it completes as one block, or b"".

        Raises `EventTooLargeError` when an unfinished event grows over the limit.
        """
        if self._at_start:
            if data[:1] in _MAY_BE_BOM or self._parts:
                data = self._without_bom(data)
            else:
                self._at_start = False
        if self._after_cr and data:
            # The LF of a CRLF that was cut in two: its CR has already ended the line.
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not data:
            return b""
        end = data.rfind(b"\n\n")
        if end >= 0:
            end += 2
        elif self._last == b"\n" and data.startswith(b"\n"):
            end = 1
        else:
            self._hold(data)
            return b""
        block = b"".join((*self._parts, data[:end])) if self._parts else data[:end]
        self._parts, self._held, self._last = [], 0, b""
        if end < len(data):
            self._hold(data[end:])
        return block

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return b"".join(self._parts)

    def _hold(self, data: bytes) -> None:
        self._parts.append(data)
        self._held += len(data)
        self._last = data[-1:]
        if self._held > self._max_event_bytes:
            raise EventTooLargeError(f"an event is larger than {self._max_event_bytes} bytes")

    def _without_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._parts, data))
        self._parts, self._held, self._last = [], 0, b""
        if len(data) < len(BOM) and BOM.startswith(data):
            if data:
                self._hold(data)
            return b""
        self._at_start = False
        return data.removeprefix(BOM)


def data_of(event: bytes) -> bytes | None:
    """The data of one event of a block, given without its blank line; None where it has none."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    return _data_of(event) if event else None


def events_of(block: bytes) -> list[bytes]:
    """The `data` of each event in a block of whole events with LF line ends, in order."""
    return [data for event in block.split(b"\n\n") if (data := data_of(event)) is not None]


def _data_of(event: bytes) -> bytes | None:
    lines: list[bytes] = []
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines) if lines else None
