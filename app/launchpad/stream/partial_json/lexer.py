"""Partial JSON: a valid document at every moment of one that is still being written.

`PartialJson` reads a model's text delta by delta. At any time `snapshot()` is JSON text on its own:
what is certain so far, with everything open closed. Snapshots only grow (a repeated key's last
value wins: the one exception). Strings grow letter by letter; numbers, literals and keys appear
when they are complete.

    {"a": 1, "b": "he     ->  {"a": 1, "b": "he"}
    {"a": [1, 2           ->  {"a": [1]}
    {"a": {"b             ->  {"a": {}}

Prose and code fences around the document are left out. `finder` says where a document may begin;
such a candidate is shown from the moment it is certain: at its first `"key":`, the first string
in an array, or where an array has eight commas or three levels. So `[1]`, `{name}` and `{"name"}`
in prose are never shown. A value that ends before that (`{}`, `[1]`, `"text"`, `42`, `true`) is a
document only if it is alone: nothing else in the text, or in its code fence. It is then shown when
the fence or the text ends. Where the text has no other, two more are shown at its end: the first
array or object that began as if it were alone (`[]`, then "No items were found."), or `{}` at the
very end of prose. A candidate that turns out not to be JSON is read again as prose.

After a document, another may begin by the same rules; it replaces the first. Other text after a
document is ignored. What is not JSON within a document ends the reading: `error`; the last snapshot
stays.
"""

from __future__ import annotations

import re
from typing import Final

from launchpad.stream.partial_json.document import ENDED, Document
from launchpad.stream.partial_json.finder import DocumentFinder

__all__ = ["PartialJson"]

_BLANK: Final = re.compile(r"\s*+").match


class PartialJson:
    """An incremental reader. A feed costs its delta, a snapshot its own size; nothing recurses."""

    __slots__ = (
        "_candidate",
        "_fallback",
        "_finder",
        "_raw",
        "_shown",
        "documents",
        "error",
        "superseded",
    )

    def __init__(self) -> None:
        self._finder = DocumentFinder()
        self._shown: Document | None = None
        self._fallback: Document | None = None
        self._candidate: Document | None = None
        self._raw: list[str] = []
        self.documents = 0
        """How many documents have begun. A higher number means that `snapshot()` starts anew."""
        self.superseded: list[str] = []
        """Last snapshots of documents that a later one has replaced; the caller may clear it."""
        self.error = False
        """Whether the document is not JSON. What follows is ignored, the snapshot stays."""

    @property
    def started(self) -> bool:
        """Whether there is a snapshot."""
        return self._shown is not None

    @property
    def complete(self) -> bool:
        """Whether the document in `snapshot()` has ended and is all there."""
        return self._shown is not None and self._shown.ended

    def feed(self, text: str) -> bool:
        """Read more text. True if `snapshot()` changed."""
        shown = self._shown
        if shown is None or shown.state == ENDED:
            return self._search(text, 0)
        if self.error:
            return False
        end = shown.feed(text)
        changed = shown.changed
        if end < len(text):
            if shown.ended:
                changed = self._search(text, end) or changed
            else:
                self.error = True
        return changed

    def finish(self) -> bool:
        """The text ends here. True if `snapshot()` changed: a value that stood alone is shown."""
        candidate = self._candidate
        if candidate is not None and self._finder.alone:
            candidate.finish()
            if candidate.ended or candidate.open:
                self._adopt(candidate)
                return True
        if self._shown is None and self._fallback is not None:
            self._adopt(self._fallback)
            return True
        if self._shown is None and candidate is not None and _is_empty_object(candidate):
            self._adopt(candidate)
            return True
        return False

    def snapshot(self) -> str:
        """The document so far as JSON text, in UTF-8-encodable characters. Empty if none began."""
        return self._shown.text() if self._shown is not None else ""

    def sized_snapshot(self) -> tuple[str, int, int]:
        """`snapshot()`, its bytes in UTF-8, and its bytes when escaped inside a JSON string."""
        return self._shown.sized() if self._shown is not None else ("", 0, 0)

    def _search(self, text: str, pos: int) -> bool:
        changed = False
        start = 0
        while True:
            candidate = self._candidate
            if candidate is None:
                start = pos = self._finder.find(text, pos)
                if start < 0:
                    return changed
                self._candidate = candidate = Document()
            pos = candidate.feed(text, pos)
            if candidate.ended and not candidate.certain:
                pos = self._await_end(candidate, text, pos)
                if self._candidate is None:
                    continue
            if candidate.certain:
                self._adopt(candidate)
                changed = True
                self.error = candidate.invalid
                if not candidate.ended:
                    return True
            elif candidate.invalid:
                # Its text is prose, and may hold the document. Seldom, and never long: only a
                # key can be, and the text of a key holds no candidate as long as itself.
                text = "".join((*self._raw, text[start:])) if self._raw else text
                pos = start + 1
                self._drop_candidate()
            else:
                self._raw.append(text[start:])
                return changed

    def _await_end(self, candidate: Document, text: str, pos: int) -> int:
        # A value that ended before it was certain: the document if a fence closes after it.
        blank = _BLANK(text, pos)
        pos = blank.end() if blank is not None else pos
        if pos < len(text):
            if text[pos] == "`" and self._finder.alone and self._finder.fenced:
                candidate.certain = True
            elif self._finder.alone and candidate.text()[0] in "[{":
                # Whole, so there is nothing to find within it.
                self._fallback = self._fallback or candidate
                self._drop_candidate()
            else:
                candidate.reject()
        return pos

    def _adopt(self, candidate: Document) -> None:
        if self._shown is not None:
            self.superseded.append(self._shown.text())
        self._shown = candidate
        self.documents += 1
        self._drop_candidate()

    def _drop_candidate(self) -> None:
        self._candidate = None
        self._raw.clear()


def _is_empty_object(candidate: Document) -> bool:
    return candidate.ended and candidate.text() == "{}"
