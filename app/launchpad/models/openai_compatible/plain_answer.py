"""An answer of nothing but text, added up from its items. Sync, pure.

What pydantic-ai makes of such an answer is plain to see: a role, texts, why it ended, the token
counts. Anything more (reasoning, tool calls, a refusal, probabilities, a field that says something
else) is not taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter

from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

__all__ = ["PlainAnswer"]

_CHUNK = frozenset(
    {
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "obfuscation",
        "choices",
        "usage",
    }
)
_CHOICE = frozenset({"index", "delta", "finish_reason"})
_DELTA = frozenset({"role", "content"})
_REASONS = frozenset({"stop", "length", "content_filter"})
"""The finish reasons that pydantic-ai keeps as they are."""

_MAYBE_TOKEN = re.compile("(?:^|[<\\[\\]])[\u200b\u200c\u200d\u2060\ufeff]")
"""A special token that was broken, or its second half: pydantic-ai mends it."""

_time = TypeAdapter(datetime)


class PlainAnswer:
    """`take` items until it refuses one; what was taken is `kept`, in order.

    Tags of thinking are not plain, nor, with `mends_tokens`, special tokens that were broken and
    have to be mended.
    """

    __slots__ = (
        "_mends_tokens",
        "created",
        "finish_reason",
        "fresh",
        "kept",
        "model",
        "response_id",
        "service_tier",
        "usage",
    )

    def __init__(self, *, mends_tokens: bool) -> None:
        self._mends_tokens = mends_tokens
        self.kept: list[Item] = []
        self.fresh: list[str] = []
        """The texts that came since someone last emptied it."""
        self.response_id: str | None = None
        self.model = ""
        self.created: datetime | None = None
        self.service_tier: str | None = None
        self.finish_reason: str | None = None
        self.usage: Mapping[str, Any] | None = None

    def take(self, items: list[Item]) -> list[Item]:
        """Add `items` up, as far as they are plain; return the rest, with what is not in front."""
        start = 0
        others = [at for at, item in enumerate(items) if type(item) is not str]
        for at in (*others, len(items)):
            # All texts up to the next chunk at once: an answer is hundreds of them.
            texts = cast("list[str]", items[start:at])
            if texts and not self._texts(texts):
                return items[start:]
            if at < len(items):
                chunk = items[at]
                if isinstance(chunk, str) or not self._chunk(chunk):
                    return items[at:]
                self.kept.append(chunk)
            start = at + 1
        return []

    def _texts(self, texts: list[str]) -> bool:
        if self.finish_reason is not None or not self.kept:
            return False
        if self._mends_tokens and any(map(_MAYBE_TOKEN.search, _beyond_ascii(texts))):
            return False
        self.kept += texts
        self.fresh += texts
        return True

    def _chunk(self, chunk: Chunk) -> bool:
        if not (_says_only(chunk, _CHUNK) and self._head(chunk)):
            return False
        choices, ended = chunk["choices"], self.finish_reason is not None
        if not choices:
            return ended and self._counts(chunk, needed=True)
        choice = as_object(choices[0])
        delta, reason = choice.get("delta"), choice.get("finish_reason")
        one = not ended and len(choices) == 1 and _is_object(delta)
        if not (one and _says_only(choice, _CHOICE)):
            return False
        if reason is None:
            return chunk.get("usage") is None and self._delta(as_object(delta))
        if type(reason) is str and reason in _REASONS and self._counts(chunk, needed=False):
            self.finish_reason = reason
            return self._delta(as_object(delta))
        return False

    def _head(self, chunk: Chunk) -> bool:
        """Whether the chunk is from the same answer as the first, which says so properly."""
        tier = chunk.get("service_tier")
        if self.kept:
            same = chunk.get("id") == self.response_id and chunk.get("model") == self.model
            return same and tier in (None, self.service_tier)
        named, model, created = chunk.get("id"), chunk.get("model"), chunk.get("created")
        if not (type(named) is str and named and type(model) is str and model):
            return False
        if type(created) is not int or not 0 < created < 1 << 32:
            return False
        if tier is not None and (type(tier) is not str or not tier):
            return False
        self.response_id, self.model, self.service_tier = named, model, tier
        self.created = _time.validate_python(created)
        return True

    def _delta(self, delta: Mapping[str, Any]) -> bool:
        for name, value in delta.items():
            if value and name not in _DELTA:
                return False
        text = delta.get("content")
        if text is None or text == "":
            return True
        if not isinstance(text, str):
            return False
        if not text.isascii() and self._mends_tokens and _MAYBE_TOKEN.search(text):
            return False
        self.fresh.append(text)
        return True

    def _counts(self, chunk: Chunk, *, needed: bool) -> bool:
        usage = chunk.get("usage")
        if usage is None:
            return not needed
        if not (_is_object(usage) and usage and self.usage is None):
            return False
        self.usage = as_object(usage)
        return True


def _beyond_ascii(texts: list[str]) -> list[str]:
    return [] if "".join(texts).isascii() else texts


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _says_only(found: Mapping[str, Any], known: frozenset[str]) -> bool:
    """Whether nothing but the fields that are `known` says anything."""
    return known.issuperset(found) or all(
        value is None for name, value in found.items() if name not in known
    )
