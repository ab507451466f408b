"""A document's text without the code fence and the words that a model puts around it."""

from __future__ import annotations

from typing import Final

from launchpad.stream.partial_json.document import Document
from launchpad.stream.partial_json.finder import DocumentFinder
from launchpad.stream.partial_json.lexer import PartialJson

__all__ = ["DocumentText"]

_BEGINS: Final = frozenset('{["')


class DocumentText:
    """Takes an answer that is to be one JSON object, delta by delta; says the object's own text.

    The object is what pydantic-ai takes for it: the answer itself, or the first object at the begin
    of a code fence. Where there is neither, all comes at the end: the whole document that
    `PartialJson` finds in it, or else every word, so that none is lost. An object that turns out
    not to be JSON is said to the answer's end, as the model wrote it.
    """

    __slots__ = ("_document", "_finder", "_skipped", "bare")

    def __init__(self) -> None:
        self.bare = False
        """The answer begins with its document: all that follows may be said as it comes."""
        self._finder = DocumentFinder()
        self._document: Document | None = None
        self._skipped: list[str] = []

    def feed(self, text: str) -> str:
        """Take the next delta; return what may be said. Not to be called once it is `bare`."""
        if self._document is not None:
            return self._grow(self._document, text)
        if not self._skipped:
            text = text.lstrip()
            self.bare = text[:1] in _BEGINS
            if self.bare or not text:
                return text
        self._skipped.append(text)
        pos = self._finder.find(text, 0)
        while pos >= 0:
            if self._finder.alone and self._finder.fenced and text[pos] == "{":
                self._document = Document()
                return self._grow(self._document, text[pos:])
            pos = self._finder.find(text, pos + 1)
        return ""

    def end(self) -> str:
        """The answer ends here; return what is still to be said."""
        if self._document is not None:
            return ""
        text = "".join(self._skipped)
        reader = PartialJson()
        reader.feed(text)
        reader.finish()
        return reader.snapshot() if reader.complete else text

    def _grow(self, document: Document, text: str) -> str:
        if document.ended:
            return ""
        end = document.feed(text)
        return text if document.invalid else text[:end]
