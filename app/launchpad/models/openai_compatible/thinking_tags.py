"""Where an answer's thinking opens and closes: tags in its text, made plain to see. Sync, pure.

Models that think in their text put tags around it, `<think>hm</think>`, and servers cut that where
they like. pydantic-ai knows a tag only as a chunk of nothing else, and then anywhere. Here each tag
that opens or closes thinking becomes an item of its own, and no other text is one:

- Thinking opens where nothing of the answer was said yet. White space before the tag is dropped.
  A tag in the middle of an answer is text.
- It closes at the first closing tag, wherever that stands. White space behind it is kept, as
  pydantic-ai does; a profile that drops white space before the answer drops it there, too.
- What may still become a tag is held back, a tag's length at most, and white space before the
  answer. It comes out as text if no tag comes of it; white space before a tool call does not.
"""

from __future__ import annotations

from typing import Any, Final

from launchpad.models.openai_compatible.contents import text_of
from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

__all__ = ["Tag", "ThinkingTags"]

_MOST_SPACE: Final = 1024
"""Characters of white space that are waited through for a tag; more of it is the answer."""


class Tag(str):
    """A tag that opens thinking, or closes it where it was open."""

    __slots__ = ()


class ThinkingTags:
    """Takes an answer's items from its begin on, until it is `settled`: then thinking is over.

    `tags` open and close thinking; with `drops_space`, white space before the answer is dropped.
    """

    __slots__ = ("_close", "_drops_space", "_held", "_open", "_thinking", "settled")

    def __init__(self, tags: tuple[str, str] | None, *, drops_space: bool) -> None:
        self._open, self._close = tags if tags and all(tags) else ("", "")
        self._drops_space = drops_space
        self._thinking = False
        self._held = ""
        self.settled = False
        """The answer itself has begun: no item will be changed any more."""

    def take(self, items: list[Item]) -> list[Item]:
        """What `items` are, as far as that can be said yet."""
        if self._are_plain(items):
            return items
        out: list[Item] = []
        for at, item in enumerate(items):
            if self.settled:
                return out + items[at:]
            if isinstance(item, str):
                self._text(item, out)
            else:
                self._chunk(item, out)
        return out

    def _are_plain(self, items: list[Item]) -> bool:
        """Whether nothing has to be done about `items`: so it is for all that does not think."""
        if self.settled or self._held or self._thinking:
            return self.settled
        for item in items:
            if isinstance(item, str):
                found = item.lstrip()
                begins = found[:1] not in ("", self._open[:1])
                self.settled = begins and (not self._drops_space or found == item)
                return self.settled
            choices: list[Chunk] = item["choices"]
            delta: Chunk = (choices[0].get("delta") or {}) if choices else {}
            if delta.get("content"):
                return False
        return True

    def end(self) -> list[Item]:
        """The text ends here: what was held back is no tag."""
        held, self._held = self._held, ""
        self.settled = self.settled or bool(held and not self._thinking)
        return [held] if held else []

    def _text(self, text: str, out: list[Item]) -> None:
        text, self._held = self._held + text, ""
        while text:
            if self.settled:
                out.append(text)
                return
            text = self._think(text, out) if self._thinking else self._begin(text, out)

    def _begin(self, text: str, out: list[Item]) -> str:
        """Take text before the answer; return what is behind an opening tag."""
        found = text.lstrip()
        if self._open and found.startswith(self._open):
            out.append(Tag(self._open))
            self._thinking = True
            return found[len(self._open) :]
        if self._drops_space:
            text = found
        if self._open.startswith(found) and len(text) <= _MOST_SPACE:
            self._held = text
            return ""
        self.settled = True
        return text

    def _think(self, text: str, out: list[Item]) -> str:
        """Take text of thinking; return what is behind the closing tag."""
        close = self._close
        thought, tag, rest = text.partition(close)
        if not tag:
            keep = min(len(close) - 1, len(text))
            while keep and not close.startswith(text[-keep:]):
                keep -= 1
            thought, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if thought:
            out.append(thought)
        if tag:
            out.append(Tag(tag))
            self._thinking = False
        return rest

    def _chunk(self, chunk: Chunk, out: list[Item]) -> None:
        choice = as_object(chunk["choices"][0]) if chunk["choices"] else {}
        delta = as_object(choice.get("delta"))
        if delta.get("refusal"):
            # Whoever reads it takes nothing else from a chunk that refuses.
            out.append(chunk)
            return
        text = text_of(delta.get("content"))
        pieces: list[Item] = []
        if text:
            self._text(text, pieces)
        ends = bool(choice.get("finish_reason") or delta.get("tool_calls"))
        if delta.get("tool_calls") and self._held.isspace():
            # It belongs to the call: an agent would take it for the whole answer, and end.
            self._held = ""
        if ends and self._held:
            pieces += self.end()
        if not text:
            out += [*pieces, chunk]
        elif pieces == [text] and not isinstance(pieces[0], Tag):
            out.append(chunk)
        else:
            head, tail = _around(chunk, choice, delta)
            out += (
                [head, *pieces, tail] if ends else [{**head, "usage": chunk.get("usage")}, *pieces]
            )


def _around(chunk: Chunk, choice: dict[str, Any], delta: Chunk) -> tuple[Chunk, Chunk]:
    """The chunk without its text, in two: what is before the text, and what is behind it."""
    before = {name: value for name, value in delta.items() if name not in {"content", "tool_calls"}}
    behind = {"tool_calls": delta["tool_calls"]} if delta.get("tool_calls") else {}
    begin = {**choice, "delta": before, "finish_reason": None}
    end = {**choice, "delta": behind, "logprobs": None}
    return {**chunk, "choices": [begin], "usage": None}, {**chunk, "choices": [end]}
