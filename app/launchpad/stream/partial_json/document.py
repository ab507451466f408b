"""The grammar of one JSON document (RFC 8259), read delta by delta.

A `Document` keeps three things: the *safe prefix* (the text that is certain to stay), the *closers*
that make it a document (`"`, `]`, `}` of what is open), and what is *held* because it cannot
be shown yet: a comma, a key, a number or literal still growing, a cut escape. Reading costs the
delta: the safe prefix is a list of pieces that is never looked at again.

Whitespace between tokens becomes one space after `,` and `:`, if there was any, and nothing
elsewhere; so two snapshots differ in text only if a token came between them.
"""

from __future__ import annotations

import re
from typing import Final

from launchpad.stream.partial_json.prefix import MANY_PIECES, SafePrefix
from launchpad.stream.partial_json.strings import ODD, WHOLE, read_odd

__all__ = ["ENDED", "Document"]

# States. Those below ENDED read on.
VALUE, FIRST_ITEM, FIRST_KEY, KEY, COLON, AFTER, IN_STRING, IN_KEY, SCALAR = range(9)
ENDED, INVALID = 9, 10

_SPACE: Final = re.compile(r"[ \t\n\r]*+").match
_SCALAR_RUN: Final = re.compile(r"[-+.0-9a-zA-Z]*+").match
_SCALAR: Final = re.compile(
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null"
).fullmatch
_WORDS: Final = ("true", "false", "null")
_LONGEST_WORD: Final = len("false")
_CLOSERS: Final = {"{": "}", "[": "]"}

# A `[1, 2]` in prose is a citation; this many commas or levels are not.
_CERTAIN_COMMAS: Final = 8
_CERTAIN_DEPTH: Final = 3


class Document:
    """One document that grows. Starts where its first character is expected.

    `certain` says that this can only be meant as JSON: at the first `"key":`, the first string in
    an array, or at eight commas or three levels of arrays. `changed` says whether the last `feed`
    changed `text()`.
    """

    __slots__ = (
        "_carry",
        "_closers",
        "_commas",
        "_held",
        "_key",
        "_pieces",
        "_prefix",
        "_stack",
        "_token",
        "certain",
        "changed",
        "state",
    )

    def __init__(self) -> None:
        self.state = VALUE
        self.certain = False
        self.changed = False
        self._stack: list[str] = []
        self._closers: str | None = ""
        self._held = ""
        self._key: list[str] = []
        self._token: list[str] = []
        self._carry = ""
        self._commas = 0
        self._prefix = SafePrefix()
        self._pieces = self._prefix.pieces

    @property
    def ended(self) -> bool:
        """Whether the document's last character has been read."""
        return self.state == ENDED

    @property
    def invalid(self) -> bool:
        """Whether something was read that JSON does not allow; `text()` is what stood before."""
        return self.state == INVALID

    @property
    def open(self) -> bool:
        """Whether it is an object or array that has not ended, and is valid so far."""
        return bool(self._stack) and not self.invalid

    def reject(self) -> None:
        """What follows shows that this was not meant as a document."""
        self._refuse(0)

    def feed(self, text: str, pos: int = 0) -> int:
        """Read `text` from `pos`; return where reading stopped.

        That is the end of `text`, or the first character after the document, or the one that
        makes it invalid (no later than that).
        """
        if self.state == IN_STRING and text and not pos and not self._carry and ODD(text) is None:
            # By far the most frequent delta: plain words within a string.
            self._pieces.append(text)
            if len(self._pieces) > MANY_PIECES:
                self._prefix.settle()
            self.changed = True
            return len(text)
        self.changed = False
        if len(self._pieces) > MANY_PIECES:
            self._prefix.settle()
        end = len(text)
        while pos < end and self.state < ENDED:
            pos = self._STEPS[self.state](self, text, pos)
        return pos

    def finish(self) -> None:
        """The text ends here: a number at the root is complete."""
        if self.state == SCALAR and not self._stack:
            self._end_scalar()

    def text(self) -> str:
        """The document so far, as JSON text on its own. Empty before the first shown token."""
        return self._prefix.text(self._tail())

    def sized(self) -> tuple[str, int, int]:
        """`text()`, its UTF-8 bytes, and its bytes escaped as the inside of a JSON string."""
        tail = self._tail()
        text, size, escapes = self._prefix.sized(tail)
        size += len(tail)
        # A closing quote, if any, comes first among the closers.
        return text, size, size + escapes + tail.startswith('"')

    def _tail(self) -> str:
        closers = self._closers
        if closers is None:
            closers = self._closers = "".join(reversed(self._stack))
        return f'"{closers}' if self.state == IN_STRING else closers

    def _refuse(self, pos: int) -> int:
        # The snapshot stays as it is, closers included.
        self._closers = self._tail()
        self.state = INVALID
        return pos

    def _show(self, token: str) -> None:
        self._pieces.append(self._held + token)
        self._held = ""
        self.changed = True

    def _end_value(self) -> None:
        self.state = AFTER if self._stack else ENDED

    def _value(self, text: str, pos: int) -> int:
        char = text[pos]
        if char == '"':
            self._show('"')
            self.certain = self.certain or bool(self._stack)
            self.state = IN_STRING
        elif char in "{[":
            self._open(char)
        elif char in "-0123456789tfn":
            self.state = SCALAR
            return pos
        elif char == "]" and self.state == FIRST_ITEM:
            return self._close(char, pos)
        else:
            return self._space(text, pos)
        return pos + 1

    def _space(self, text: str, pos: int) -> int:
        space = _SPACE(text, pos)
        if space is None or space.end() == pos:
            return self._refuse(pos)
        if self._held and self._held[-1] in ",:":
            self._held += " "
        return space.end()

    def _open(self, char: str) -> None:
        self._show(char)
        self._stack.append(_CLOSERS[char])
        self._closers = None
        self.state = FIRST_KEY if char == "{" else FIRST_ITEM
        self.certain = self.certain or len(self._stack) >= _CERTAIN_DEPTH

    def _close(self, char: str, pos: int) -> int:
        if self._stack[-1] != char:
            return self._refuse(pos)
        # The closer stood in the snapshot already: nothing changes.
        self._pieces.append(char)
        self._stack.pop()
        self._closers = None
        self._end_value()
        return pos + 1

    def _name(self, text: str, pos: int) -> int:
        char = text[pos]
        if char == '"':
            self.state = IN_KEY
        elif char == "}" and self.state == FIRST_KEY:
            return self._close(char, pos)
        else:
            return self._space(text, pos)
        return pos + 1

    def _colon(self, text: str, pos: int) -> int:
        if text[pos] != ":":
            return self._space(text, pos)
        self._held += ":"
        # The object's text itself may be news: it was not shown before it was certain.
        self.certain = True
        self.state = VALUE
        return pos + 1

    def _after(self, text: str, pos: int) -> int:
        char = text[pos]
        if char == ",":
            self._held = ","
            self._commas += 1
            self.certain = self.certain or self._commas >= _CERTAIN_COMMAS
            self.state = KEY if self._stack[-1] == "}" else VALUE
        elif char in "]}":
            return self._close(char, pos)
        else:
            return self._space(text, pos)
        return pos + 1

    def _string(self, text: str, pos: int) -> int:
        if self._carry:
            return self._odd(text, pos)
        run = WHOLE(text, pos)
        end = run.end() if run is not None else pos
        if end > pos:
            self._grow(text[pos:end])
        if end == len(text):
            return end
        if text[end] != '"':
            return self._odd(text, end)
        if self.state == IN_KEY:
            self._held += f'"{"".join(self._key)}"'
            self._key.clear()
            self.state = COLON
        else:
            self._pieces.append('"')
            self._end_value()
        return end + 1

    def _odd(self, text: str, pos: int) -> int:
        odd = read_odd(self._carry, text, pos)
        if odd.shown is None:
            return self._refuse(pos)
        if odd.shown:
            self._grow(odd.shown)
        waiting = len(self._carry)
        self._carry = odd.carry or self._carry[odd.read :]
        return pos + max(0, odd.read - waiting)

    def _grow(self, text: str) -> None:
        if self.state == IN_KEY:
            self._key.append(text)
        else:
            self._pieces.append(text)
            self.changed = True

    def _scalar(self, text: str, pos: int) -> int:
        run = _SCALAR_RUN(text, pos)
        end = run.end() if run is not None else pos
        self._token.append(text[pos:end])
        if end < len(text):
            # Only what may follow a value completes it; the root is judged by the caller.
            if self._stack and text[end] not in ",]} \t\n\r":
                return self._refuse(end)
            self._end_scalar()
        elif len(self._token) <= _LONGEST_WORD and "".join(self._token) in _WORDS:
            self._end_scalar()
        return end

    def _end_scalar(self) -> None:
        token = "".join(self._token)
        self._token.clear()
        if _SCALAR(token):
            self._show(token)
            self._end_value()
        else:
            self._refuse(0)

    # Indexed by state.
    _STEPS = (
        _value,
        _value,
        _name,
        _name,
        _colon,
        _after,
        _string,
        _string,
        _scalar,
    )
