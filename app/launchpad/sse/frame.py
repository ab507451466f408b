"""Bytes of server-sent events: one frame, the heartbeat, and text made safe for one line.

Source of the rules: the HTML standard's event stream format (section 9.2.5), and what clients
do beyond it: some split lines at U+0085, U+2028 and U+2029 too, some die on a line above
128 KiB, some parse an empty event out of a heartbeat with a blank line.
"""

from __future__ import annotations

import re

import msgspec

__all__ = [
    "DONE",
    "HEARTBEAT",
    "MAX_LINE",
    "data_frame",
    "escape_json",
    "escape_separators",
    "join_surrogates",
    "split_text",
]

HEARTBEAT = b": ping\n"
"""A comment with ONE newline, sent between frames. A blank line after it would make an event."""

DONE = b"data: [DONE]\n\n"
"""OpenAI's end of stream."""

MAX_LINE = 64 * 1024
"""No line of a frame is longer, in bytes."""

_LONGEST_ESCAPE = 6
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")
_encode = msgspec.json.Encoder().encode


def data_frame(payload: bytes, *, event_id: str | None = None, event: str | None = None) -> bytes:
    r"""Wrap `payload` (UTF-8) in one frame; CR, LF and CRLF in it become several `data:` lines.

    `event_id` and `event` become the fields `id` and `event`. Raises `ValueError` where they
    hold a line end or NUL, which would end the field or be ignored.
    """
    if event_id is None and event is None and b"\n" not in payload and b"\r" not in payload:
        return b"data: " + payload + b"\n\n"
    lines = [b"data: " + line for line in _LINE_ENDS.split(payload)]
    if event_id is not None:
        lines.insert(0, b"id: " + _field(event_id))
    if event is not None:
        lines.insert(0, b"event: " + _field(event))
    return b"\n".join(lines) + b"\n\n"


def _field(value: str) -> bytes:
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"an SSE field holds no line end or NUL: {value!r}")
    return value.encode()


def escape_json(text: str) -> bytes:
    """`text` as a JSON string with its quotes, in UTF-8, safe for clients that split lines freely.

    Surrogate pairs are joined and lone surrogates become U+FFFD: neither is valid in UTF-8.
    """
    try:
        raw = _encode(text)
    except UnicodeEncodeError:
        raw = _encode(join_surrogates(text))
    # Searching a str costs a tenth of searching bytes.
    if text.isascii() or not ("\u0085" in text or "\u2028" in text or "\u2029" in text):
        return raw
    return escape_separators(raw)


def escape_separators(raw: bytes) -> bytes:
    """JSON text in which U+0085, U+2028 and U+2029 stand as escapes.

    Such characters occur within strings only, so this may be applied to whole documents and to
    frames of them. Cheap where the bytes are ASCII.
    """
    if raw.isascii():
        return raw
    raw = raw.replace(b"\xc2\x85", b"\\u0085")
    return raw.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def split_text(text: str, limit: int) -> list[str]:
    """Cut `text` so that `escape_json` of each piece has at most `limit` bytes, quotes included.

    The pieces concatenate to the text (surrogates as `escape_json` has them); no character is
    cut. An empty text gives no piece. Raises `ValueError` where not even one character would fit.
    """
    if limit < _LONGEST_ESCAPE + 2:
        raise ValueError(f"limit must be at least {_LONGEST_ESCAPE + 2}")
    if len(text) * _LONGEST_ESCAPE + 2 <= limit:
        return [text] if text else []
    text = join_surrogates(text)
    pieces: list[str] = []
    start = 0
    while start < len(text):
        length = limit
        while (size := len(escape_json(text[start : start + length]))) > limit:
            # Shrinks in proportion: two or three rounds, whatever the text is made of.
            length = max(1, min(length, len(text) - start) * limit // (size + 1))
        pieces.append(text[start : start + length])
        start += length
    return pieces


def join_surrogates(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
