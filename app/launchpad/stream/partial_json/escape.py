"""Snapshots as the inside of a JSON string, without escaping all of it again each time."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["SnapshotEscaper", "escape"]

_encode: Final = msgspec.json.Encoder().encode
_UNSTABLE: Final = 256


def escape(text: str) -> bytes:
    r"""Escape `text` for the inside of a JSON string, in UTF-8.

    U+0085, U+2028 and U+2029 are escaped as well: some clients take them for line ends.
    """
    escaped = _encode(text)[1:-1]
    if text.isascii():
        return escaped
    return (
        escaped.replace(b"\xc2\x85", rb"\u0085")
        .replace(b"\xe2\x80\xa8", rb"\u2028")
        .replace(b"\xe2\x80\xa9", rb"\u2029")
    )


class SnapshotEscaper:
    """Escapes texts that extend one another; any other text is right too, only slower.

    It keeps the escaped form of the part that the texts have in common. One a node.
    """

    __slots__ = ("_common", "_escaped")

    def __init__(self) -> None:
        self._common = ""
        self._escaped = b""

    def frame(self, head: bytes, text: str, foot: bytes) -> bytes:
        """`head`, then `text` escaped, then `foot`, in one copy."""
        if not text.startswith(self._common):
            self._common, self._escaped = "", b""
        rest = text[len(self._common) :]
        if len(rest) > _UNSTABLE:
            # Closers at the end will move; all before them stays.
            stable = rest.rstrip('"]}')
            self._escaped += escape(stable)
            self._common += stable
            rest = rest[len(stable) :]
        return b"".join((head, self._escaped, escape(rest), foot))
