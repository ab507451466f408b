"""Chat completion chunks: event data in, texts and whole chunks out. Sync, pure.

A chunk that only carries text of the first choice comes out as that text; everything else comes
out as the decoded object, so that nothing is lost. Three ways lead there, each a fallback of the
one before and with the same result:

1. The bytes around the text are the same as in an earlier chunk: only the text is decoded, for a
   whole run of such events at once.
2. The chunk has the plain shape: a typed decode.
3. Anything else: a full decode.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import msgspec

from launchpad.models.finish_reasons import BREAKS_OFF, OPENAIS, in_openais_words
from launchpad.models.openai_compatible.contents import TEXT_OR_NONE, settle_content
from launchpad.models.openai_compatible.json_values import as_object, error_in, objects_in
from launchpad.models.openai_compatible.plain_chunk import decode_plain
from launchpad.models.openai_compatible.readable import is_readable
from launchpad.models.openai_compatible.sse import data_of
from launchpad.models.openai_compatible.tool_calls import ToolCallIndices

Chunk: TypeAlias = dict[str, Any]
Item: TypeAlias = str | Chunk
"""A plain text delta, or a whole chunk as it came."""

DONE = b"[DONE]"
_CONTENT = re.compile(rb'"content":\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_LEARNING_TRIES = 16

_anything = msgspec.json.Decoder()
_texts = msgspec.json.Decoder(list[str])
_text = msgspec.json.Decoder(str)


class GarbageError(ValueError):
    """An event's data is no JSON object, or none that can be read as a chunk."""


class UpstreamSaidError(ValueError):
    """The upstream put an error into the stream, or ended it for one. `error` is what it said."""

    def __init__(self, error: object) -> None:
        super().__init__("the upstream reported an error")
        self.error = error


class BrokenOffError(ValueError):
    """The upstream gave up, and said so by its finish reason."""


class ChunkDecoder:
    """Decodes blocks of events; keeps what one stream has shown of its pattern.

    `finished`: a finish reason came, and `ending`: no words are to be expected behind it. `done`:
    `[DONE]` came, and what follows it is ignored.
    """

    def __init__(self) -> None:
        self.finished = False
        self.ending = False
        self.done = False
        self._head: tuple[object, object, object] | None = None
        self._before = b""
        self._after = b""
        self._between = b""
        self._closing = b""
        self._tries = _LEARNING_TRIES
        self._heard = False
        self._indices: ToolCallIndices | None = None

    def decode(self, block: bytes, into: list[Item]) -> None:
        """Append the items of a block of whole events to `into`.

        Raises `GarbageError`, `UpstreamSaidError` or `BrokenOffError`; what came before it is in
        `into` by then.
        """
        text = self.single(block)
        if text is not None:
            into.append(text)
            return
        events = block.split(b"\n\n")
        events.pop()
        start = 0
        runs = True
        while start < len(events) and not self.done:
            before = self._before
            if runs and before and events[start].startswith(before):
                end = self._decode_run(events, start, into)
                if end > start:
                    start = end
                    continue
                # Looking for a run costs the rest of the block: not again for each of its events.
                runs = False
            self._decode_event(events[start], into)
            start += 1
            runs = runs or self._before is not before

    def single(self, block: bytes) -> str | None:
        """The text of a block that is one event of the known pattern: most are, from a real model.

        None for any other, which is for `decode`.
        """
        before, closing = self._before, self._closing
        if not before or not (block.startswith(before) and block.endswith(closing)):
            return None
        literal = block[len(before) : -len(closing)]
        if b"\n" in literal or b"\r" in literal:
            return None
        try:
            text = _text.decode(literal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return text if text and not self.done else None

    def _decode_run(self, events: list[bytes], start: int, into: list[Item]) -> int:
        """Decode events from `start` on that have the known pattern; return where they end."""
        before, after = self._before, self._after
        end = len(events)
        while end > start and not (
            events[end - 1].endswith(after) and events[end - 1].startswith(before)
        ):
            end -= 1
        if end == start:
            return end
        run = events[start:end]
        head, tail = len(before), -len(after)
        literals = [event[head:tail] for event in run]
        # All have the pattern if putting it around the texts again gives the same bytes.
        whole = b"".join((before, self._between.join(literals), after))
        texts = _decode_texts(literals) if whole == b"\n\n".join(run) else None
        if texts is not None and all(texts):
            into.extend(texts)
        else:
            for event in run:
                self._decode_event(event, into)
        return end

    def _decode_event(self, event: bytes, into: list[Item]) -> None:
        plain = event.startswith(b"data: {") and b"\n" not in event
        data = event[6:] if plain else data_of(event)
        if not data:
            # A comment, or data that is empty, which makes no event.
            return
        if data.startswith(DONE):
            self.done = True
        elif not self.done:
            self._decode_one(data, into)

    def _decode_one(self, data: bytes, into: list[Item]) -> None:
        if self._head is None:
            # The first chunk, and any that names another model, is seen whole by pydantic-ai.
            first = self._decode_whole(data, into)
            self._head = (first.get("id"), first.get("model"), first.get("service_tier"))
            return
        if b'"content"' not in data:
            self._decode_whole(data, into)
            return
        try:
            chunk = decode_plain(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._decode_whole(data, into)
            return
        choice = chunk.choices[0]
        text = choice.delta.content
        head = (chunk.id, chunk.model, chunk.service_tier)
        if head != self._head or choice.index != 0:
            self._head = head
            self._decode_whole(data, into)
        elif text:
            into.append(text)
        if choice.index == 0 and text:
            if self._heard:
                self._learn(data, text)
            # An answer of one token would learn for nothing.
            self._heard = True

    def _learn(self, data: bytes, text: str) -> None:
        if self._tries == 0:
            return
        if self._before and data.startswith(self._before[6:]) and data.endswith(self._after):
            return
        # A stream whose chunks differ around the text (a random padding field) is not worth it.
        self._tries -= 1
        found = _CONTENT.search(data)
        if found is None or data.count(b'"content"') != 1 or b"\n" in data:
            return
        if _text.decode(found[1]) != text:
            return
        self._before = b"data: " + data[: found.start(1)]
        self._after = data[found.end(1) :]
        self._closing = self._after + b"\n\n"
        self._between = self._closing + self._before

    def _decode_whole(self, data: bytes, into: list[Item]) -> Chunk:
        chunk = _decode_object(data)
        if error := error_in(chunk):
            raise UpstreamSaidError(error)
        choices: Any = chunk.get("choices")
        if choices != [] and not _is_first_alone(choices):
            choices = chunk["choices"] = [
                one for one in objects_in(choices) if not one.get("index")
            ]
        if self._head is None and choices and isinstance(choices[0].get("message"), dict):
            # A whole answer in the place of its first chunk; later ones repeat what was said.
            data = _with_delta(chunk, data)
        if not is_readable(chunk, data):
            raise GarbageError("a part of the answer is of another type than OpenAI's")
        try:
            for choice in choices:
                self._read(choice)
            if not choices and chunk.get("usage"):
                # The token counts of the whole, behind a finish reason that came with words.
                self.ending = self.finished
        finally:
            into.append(chunk)
        return chunk

    def _read(self, choice: Chunk) -> None:
        """Put a choice in OpenAI's form. Raises where it says that something went wrong."""
        reason = self._end(choice) if choice.get("finish_reason") else ""
        if isinstance(choice.get("delta"), dict):
            delta: Chunk = choice["delta"]
            if delta.get("tool_calls"):
                if self._indices is None:
                    self._indices = ToolCallIndices()
                delta["tool_calls"] = self._indices.settle(delta["tool_calls"])
            if delta.get("content").__class__ not in TEXT_OR_NONE:
                settle_content(delta)
        if choice.get("error"):
            raise UpstreamSaidError(choice["error"])
        if reason in BREAKS_OFF:
            raise BrokenOffError(f"its finish reason is {reason!r}")

    def _end(self, choice: Chunk) -> str:
        """Put the finish reason in OpenAI's words; return it. "" where it is none."""
        given: str = choice["finish_reason"]
        reason = given if given in OPENAIS else in_openais_words(given)
        if reason is not given:
            choice["finish_reason"] = reason
        if reason in BREAKS_OFF:
            choice["finish_reason"] = None
        if not reason:
            return ""
        # Some servers have one in every chunk: with the first, or again with words, it is no end.
        self.ending = self._head is not None and not (self.finished and _says_more(choice))
        self.finished = True
        return reason


def _says_more(choice: Chunk) -> bool:
    delta = as_object(choice.get("delta"))
    return any(value for name, value in delta.items() if name != "role")


def _with_delta(chunk: Chunk, data: bytes) -> bytes:
    """Make the choice's message its delta, unless it has one; return the chunk's JSON."""
    choice = chunk["choices"][0]
    if isinstance(choice.get("delta"), dict):
        return data
    choice["delta"] = choice["message"]
    return json.dumps(chunk).encode()


def _decode_texts(literals: list[bytes]) -> list[str] | None:
    """JSON string literals to texts; None unless each one is exactly one string."""
    try:
        texts = _texts.decode(b"[" + b",".join(literals) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return texts if len(texts) == len(literals) else None


def _decode_object(data: bytes) -> Chunk:
    try:
        try:
            value = _anything.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The standard library takes what msgspec refuses: half surrogate pairs, NaN.
            value = json.loads(data)
    except ValueError as error:
        raise GarbageError("an event is not JSON") from error
    except RecursionError as error:
        raise GarbageError("an event is nested too deeply") from error
    if isinstance(value, list) and error_in(as_object(next(iter(value), None))):  # pyright: ignore[reportUnknownArgumentType]
        value = value[0]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        raise GarbageError("an event is not a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _is_first_alone(choices: Any) -> bool:
    """Whether there is one choice only, that with index 0."""
    try:
        (only,) = choices
    except (TypeError, ValueError):
        return False
    return isinstance(only, dict) and bool(only) and not only.get("index")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
