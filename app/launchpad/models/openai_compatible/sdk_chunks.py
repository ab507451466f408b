"""Items of an answer as the SDK's chunks, which pydantic-ai reads: as few as mean the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from launchpad.models.openai_compatible.contents import text_of
from launchpad.models.openai_compatible.json_values import as_object, objects_in
from launchpad.models.openai_compatible.thinking_tags import Tag
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

_OF_ONE_CHUNK = frozenset({"choices", "usage", "moderation", "error"})
_HEAD = ("id", "model", "service_tier", "system_fingerprint")
_NO_HEAD = {"id": None, "model": None, "created": None}
"""What pydantic-ai looks for in every chunk; some servers leave it out."""
_PLAIN_CHUNK = frozenset({*_HEAD, "object", "created", "choices", "usage", "obfuscation"})
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})


class SdkChunks:
    """Joins what waits for pydantic-ai, which goes through all its layers for each chunk.

    An answer that is there at once becomes one chunk with the role, all text, the finish reason and
    the usage. Anything unusual stays a chunk of its own. So does a `Tag`: pydantic-ai takes a chunk
    of just that text for one. Text that is one of the `tags`, but opens and closes nothing, comes
    in two chunks.
    """

    def __init__(self, tags: Iterable[str] = (), *, counts_as_given: bool = False) -> None:
        self._tags = frozenset(tag for tag in tags if len(tag) > 1)
        self._last_whole: Chunk = {}
        self._counted: dict[str, Any] = {}
        self._counts_as_given = counts_as_given
        """pydantic-ai was told that token counts come again and again, and takes the last ones."""

    def take(self, pending: list[Item]) -> ChatCompletionChunk:
        """Remove one or more items from the front of `pending` and return their chunk."""
        chunk = self._take(pending)
        usage = as_object(chunk.get("usage"))
        if usage and not self._counts_as_given:
            # It adds up what every chunk counts; some servers count in each what they did so far.
            chunk = {**chunk, "usage": _beyond(usage, self._counted)}
        return as_sdk_chunk(chunk)

    def _take(self, pending: list[Item]) -> Chunk:
        first = pending[0]
        used = 0
        if isinstance(first, str):
            whole = _text_like(self._last_whole)
            if isinstance(first, Tag):
                del pending[0]
                return _with_text(whole, str(first))
        else:
            self._last_whole = first
            choice = _silent_choice(first)
            if choice is None or choice.get("finish_reason"):
                return self._unusual(first, pending)
            whole = {**first, "choices": [{**choice, "delta": dict(as_object(choice["delta"]))}]}
            used = 1
        texts: list[str] = []
        for item in pending[used:] if used else pending:
            if type(item) is not str:
                break
            texts.append(item)
        if texts:
            text = "".join(texts)
            used += len(texts)
            if text in self._tags:
                pending[:used] = [text[-1]]
                return _with_text(whole, text[:-1])
            whole["choices"][0]["delta"]["content"] = text
        for item in pending[used : used + 2]:
            if isinstance(item, str) or not _joins_end(whole, item):
                break
            self._last_whole = item
            used += 1
        del pending[:used]
        return whole

    def _unusual(self, chunk: Chunk, pending: list[Item]) -> Chunk:
        """The chunk in front of `pending`, or the begin of its text where that looks like a tag."""
        choices = objects_in(chunk["choices"])
        text = text_of(as_object(choices[0].get("delta")).get("content")) if choices else ""
        if text not in self._tags:
            del pending[0]
            return chunk
        pending[0] = _with_text(chunk, text[1:])
        return _with_text(_text_like(chunk), text[:1])


def _beyond(counts: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """What `counts` has more than the highest ones so far, `known`, in details too; notes them.

    A count that falls is another part's: some servers have the prompt's in the first chunk only.
    """
    found = dict(counts)
    for name, count in counts.items():
        if details := as_object(count):
            known[name] = as_object(known.get(name))
            found[name] = _beyond(details, known[name])
        elif type(count) is int:
            noted = known.get(name)
            before = noted if type(noted) is int else 0
            found[name] = max(count - before, 0)
            known[name] = max(count, before)
    return found


def _with_text(chunk: Chunk, text: str) -> Chunk:
    choice = chunk["choices"][0]
    return {**chunk, "choices": [{**choice, "delta": {**choice["delta"], "content": text}}]}


def _text_like(whole: Chunk) -> Chunk:
    """A chunk like `whole` without what it said."""
    choices = objects_in(whole.get("choices"))
    choice: dict[str, Any] = choices[0] if choices else {}
    like = {name: value for name, value in whole.items() if name not in _OF_ONE_CHUNK}
    like["choices"] = [{**choice, "index": 0, "delta": {}, "finish_reason": None, "logprobs": None}]
    return like


def _silent_choice(chunk: Chunk) -> Chunk | None:
    """The one choice of a chunk that says no more than a role or an end; None for any other."""
    choices = chunk["choices"]
    if len(choices) != 1 or chunk.get("usage") is not None or not _PLAIN_CHUNK.issuperset(chunk):
        return None
    choice = as_object(choices[0])
    delta = choice.get("delta")
    if choice.get("logprobs") or not _PLAIN_CHOICE.issuperset(choice):
        return None
    if not isinstance(delta, dict) or "index" not in choice:
        return None
    said = any(value for name, value in as_object(choice["delta"]).items() if name != "role")
    return None if said else choice


def _joins_end(whole: Chunk, item: Chunk) -> bool:
    """Put a finish reason, or the usage after it, into `whole`, if `item` is no more than that."""
    if any(item.get(name) != whole.get(name) for name in _HEAD):
        return False
    ended = bool(whole["choices"][0].get("finish_reason"))
    if ended:
        if item["choices"] or not item.get("usage") or not _PLAIN_CHUNK.issuperset(item):
            return False
        whole["usage"] = item["usage"]
        return True
    choice = _silent_choice(item)
    if choice is None or not choice.get("finish_reason"):
        return False
    whole["choices"][0]["finish_reason"] = choice["finish_reason"]
    return True


def as_sdk_chunk(chunk: Chunk) -> ChatCompletionChunk:
    """The SDK's object. Its own way takes anything, but 20 times as long as pydantic's."""
    try:
        return ChatCompletionChunk.model_validate(chunk, strict=True)
    except ValidationError:
        choices = [{"delta": None, **choice} for choice in chunk["choices"]]
        given: dict[str, Any] = {**_NO_HEAD, **chunk, "choices": choices}
        return ChatCompletionChunk.construct(**given)
