"""Chat completion chunks decoded one by one, in full, and put into OpenAI's form. Sync, pure."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import msgspec

from launchpad.models.finish_reasons import BREAKS_OFF, OPENAIS, in_openais_words
from launchpad.models.openai_compatible.contents import TEXT_OR_NONE, settle_content
from launchpad.models.openai_compatible.json_values import as_object, error_in, objects_in
from launchpad.models.openai_compatible.readable import is_readable
from launchpad.models.openai_compatible.tool_calls import ToolCallIndices

Chunk: TypeAlias = dict[str, Any]
Item: TypeAlias = str | Chunk
"""A plain text delta, or a whole chunk as it came."""

_anything = msgspec.json.Decoder()


class GarbageError(ValueError):
    """An event's data is no JSON object, or none that can be read as a chunk."""


class UpstreamSaidError(ValueError):
    """The upstream put an error into the stream, or ended it for one. `error` is what it said."""

    def __init__(self, error: object) -> None:
        super().__init__("the upstream reported an error")
        self.error = error


class BrokenOffError(ValueError):
    """The upstream gave up, and said so by its finish reason."""


class WholeChunks:
    """Decodes the chunks of one stream.

    `finished`: a finish reason came, and `ending`: no words are to be expected behind it.
    """

    def __init__(self) -> None:
        self.finished = False
        self.ending = False
        self._head: tuple[object, object, object] | None = None
        """What the chunks are called; None before the first one."""
        self._indices: ToolCallIndices | None = None

    def decode_whole(self, data: bytes, into: list[Item]) -> Chunk:
        """Append the chunk that an event's `data` is to `into`, and return it.

        Raises `GarbageError`; `UpstreamSaidError` or `BrokenOffError` with the chunk in `into`,
        where it is one.
        """
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
