"""Where in a text a JSON document may begin.

Models put prose and code fences around their documents, and prose has brackets and braces of its
own. A place is a *candidate*

- at the start of the text, or of the content of a code fence: any JSON value (it is *alone*);
- elsewhere, in prose or after a document: `{` before `"` or `}`, `[` before what may begin a value.

Whether a candidate is a document is decided by what follows (see `lexer`).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["DocumentFinder"]

_BLANK: Final = re.compile(r"[\s\ufeff]*+").match
_MARK: Final = re.compile(
    r'`++|\{(?=[ \t\n\r]*+(?:["}]|\Z))|\[(?=[ \t\n\r]*+(?:[\[\]{"\-0-9tfn]|\Z))'
).search
_FENCE_LINE_END: Final = re.compile(r"[\n{\[]").search
_VALUE_STARTS: Final = '{["-0123456789tfn'

_START, _PROSE, _FENCE_LINE = range(3)


class DocumentFinder:
    """Finds candidates in a text that arrives in deltas."""

    __slots__ = ("_state", "_ticks", "alone", "fenced")

    def __init__(self) -> None:
        self._state = _START
        self._ticks = 0
        self.fenced = False
        """Whether the place that was read last stands in a code fence."""
        self.alone = False
        """Whether nothing but whitespace stands between the text's or fence's start and the
        candidate found last."""

    def find(self, text: str, pos: int) -> int:
        """The place of the next candidate in `text` from `pos` on, or -1 (then all was read).

        What comes after a candidate counts as prose, unless a fence opens there.
        """
        while pos < len(text):
            if self._state == _START:
                blank = _BLANK(text, pos)
                pos = blank.end() if blank is not None else pos
                if pos == len(text):
                    break
                self._state = _PROSE
                if text[pos] in _VALUE_STARTS:
                    self.alone = True
                    return pos
            elif self._state == _FENCE_LINE:
                line_end = _FENCE_LINE_END(text, pos)
                if line_end is None:
                    break
                pos = line_end.start()
                self._state = _START
            else:
                mark = _MARK(text, pos)
                if mark is None or mark.start() > pos:
                    self._ticks = 0
                if mark is None:
                    break
                if text[mark.start()] != "`":
                    self._ticks = 0
                    self.alone = False
                    return mark.start()
                pos = mark.end()
                self._count_ticks(pos - mark.start(), cut=pos == len(text))
        return -1

    def _count_ticks(self, count: int, *, cut: bool) -> None:
        # Three or more in a row are a fence; a run may be cut between two deltas.
        self._ticks += count
        if self._ticks >= 3:
            self.fenced = not self.fenced
            self._state = _FENCE_LINE if self.fenced else _PROSE
            self._ticks = 0
        elif not cut:
            self._ticks = 0
