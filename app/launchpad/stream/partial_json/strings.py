r"""The inside of a JSON string, scanned in runs.

A string's content is taken as far as it is whole. What remains is the closing quote, the start of
an escape that the next delta may complete, half of a surrogate pair, or something no string holds.

A lone surrogate (`\ud83d` with no `\ude00` after it, or a bare one that a decoder let through)
becomes `\ufffd`: it has no UTF-8 form, and strict parsers refuse even its escape. RFC 8259, 8.2
leaves the choice open.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["ODD", "WHOLE", "Odd", "read_odd"]

ODD: Final = re.compile(r'["\\\x00-\x1f\ud800-\udfff]').search
"""Finds the first character that does not simply stand for itself."""

_HEX: Final = "[0-9a-fA-F]"
_HIGH: Final = rf"\\u[dD][89abAB]{_HEX}{{2}}"
_LOW: Final = rf"\\u[dD][c-fC-F]{_HEX}{{2}}"
_SINGLE: Final = rf"\\(?:[\"\\/bfnrt]|u(?![dD][89a-fA-F]){_HEX}{{4}})"

WHOLE: Final = re.compile(rf'(?:[^"\\\x00-\x1f\ud800-\udfff]++|{_SINGLE}|{_HIGH}{_LOW})*').match
"""Takes plain characters, whole escapes and whole escaped pairs.

The group is not possessive: Pythons before 3.11.5 then keep half of an alternative that failed
(cpython#106052). Nothing follows it, so it never backtracks anyway."""

_LONGEST: Final = len(r"\ud83d\ude00")
_PARTIAL: Final = re.compile(
    rf"\\(?:u{_HEX}{{0,3}})?|{_HIGH}(?:\\(?:u(?:[dD](?:[c-fC-F]{_HEX}?)?)?)?)?|[\ud800-\udbff]"
).fullmatch
_BARE_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]").match
_LONE: Final = re.compile(rf"\\u[dD][89a-fA-F]{_HEX}{{2}}|[\ud800-\udfff]").match
_REPLACEMENT: Final = r"\ufffd"


class Odd(NamedTuple):
    """What an odd place in a string holds.

    `shown` is what to show for it, None where it is not JSON; `read` counts the characters of
    `carry` and text that it took; `carry` is what waits for the next delta.
    """

    shown: str | None
    read: int
    carry: str = ""


def read_odd(carry: str, text: str, pos: int) -> Odd:
    """Read an escape or a surrogate that begins in `carry` or at `text[pos]`."""
    piece = carry + text[pos : pos + _LONGEST]
    whole = WHOLE(piece)
    if whole is not None and whole.end():
        return Odd(whole.group(), whole.end())
    # A partial is shorter than _LONGEST, so the text ends with it.
    if _PARTIAL(piece):
        return Odd("", len(piece), piece)
    if pair := _BARE_PAIR(piece):
        joined = pair.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        return Odd(joined, pair.end())
    if lone := _LONE(piece):
        return Odd(_REPLACEMENT, lone.end())
    return Odd(None, 0)
