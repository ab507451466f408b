"""Token counts whose meaning is known from ones that pydantic-ai has mapped.

pydantic-ai finds in its price list how a provider's counts are to be read, in some 0.05 ms an
answer. For one model and one set of counts that is always the same. Where its first answer shows
that each count is the upstream's of the same meaning, untouched, the next are read so. Providers
whose counts are reckoned (x.ai adds the reasoning to the output) are left to pydantic-ai.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from genai_prices.data_snapshot import get_snapshot
from pydantic_ai.usage import RequestUsage

__all__ = ["LearntUsage"]

_Path = tuple[str, ...]

_MOST = 64
_MAIN: Mapping[str, _Path] = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
}
_PARTS: Mapping[str, _Path] = {
    "cache_read_tokens": ("prompt_tokens_details", "cached_tokens"),
    "cache_write_tokens": ("prompt_tokens_details", "cache_write_tokens"),
    "input_audio_tokens": ("prompt_tokens_details", "audio_tokens"),
    "output_reasoning_tokens": ("completion_tokens_details", "reasoning_tokens"),
    "output_audio_tokens": ("completion_tokens_details", "audio_tokens"),
}
_SOURCES: Mapping[str, _Path] = {**_MAIN, **_PARTS}
"""pydantic-ai's counts, and the upstream's that mean the same."""

_INNER = "completion_tokens_details"
"""Where pydantic-ai's own details are from, beside what stands next to the sums."""

_Key = tuple[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class _Known:
    """Where pydantic-ai's counts come from; None is a zero."""

    counts: tuple[tuple[str, _Path | None], ...]
    details: tuple[tuple[str, _Path | None], ...]


class LearntUsage:
    """The token counts of one provider."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Known] = {}
        self._prices: object = None

    def of(self, model: str, raw: Mapping[str, Any]) -> RequestUsage | None:
        """What pydantic-ai makes of `raw`, an answer's `usage`; None where that was not learnt."""
        if not self._known or get_snapshot() is not self._prices:
            return None
        found = _counts(raw)
        known = self._known.get((model, _shape(found))) if found is not None else None
        if found is None or known is None:
            return None
        return RequestUsage(
            details={name: cast("int", found[path]) if path else 0 for name, path in known.details},
            **{name: found[path] if path else 0 for name, path in known.counts},
        )

    def learn(self, model: str, raw: Mapping[str, Any], made: RequestUsage) -> None:
        """Take note of what pydantic-ai has `made` of `raw`, if all of it is untouched."""
        found = _counts(raw)
        if found is None:
            return
        values = {name: value for name, value in vars(made).items() if value is not None}
        named = {path[-1]: path for path in found if path[0] == _INNER or len(path) == 1}
        details = _untouched(values.pop("details"), named, found)
        counts = _untouched(values, _SOURCES, found)
        if counts is None or details is None or not all(name in values for name in _MAIN):
            return
        if (prices := get_snapshot()) is not self._prices or len(self._known) >= _MOST:
            self._known.clear()
            self._prices = prices
        self._known[model, _shape(found)] = _Known(counts, details)


def _untouched(
    made: Mapping[str, Any], sources: Mapping[str, _Path], found: Mapping[_Path, object]
) -> tuple[tuple[str, _Path | None], ...] | None:
    """Where each of `made` is from; None where one is not what `sources` has `found` for it."""
    known: list[tuple[str, _Path | None]] = []
    for name, value in made.items():
        path = sources.get(name)
        given = found.get(path) if path is not None else None
        if type(value) is not int or value != (given or 0):
            return None
        known.append((name, path if value else None))
    return tuple(known)


def _counts(raw: Mapping[str, Any]) -> dict[_Path, object] | None:
    """What there is by its path; None where something else than counts is among it.

    Seconds may stand beside the counts, but not among their details: a gateway's price may.
    """
    found: dict[_Path, object] = {}
    for name, value in raw.items():
        if isinstance(value, dict):
            found[name, ""] = None
            for key, inner in cast("dict[str, object]", value).items():
                if not _is_count(inner):
                    return None
                found[name, key] = inner
        elif _is_count(value) or type(value) is float:
            found[(name,)] = value
        else:
            return None
    return found


def _is_count(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _shape(found: Mapping[_Path, object]) -> tuple[object, ...]:
    """Which counts there are, and which of them are zero or null."""
    return tuple((path, type(value), not value) for path, value in found.items())
