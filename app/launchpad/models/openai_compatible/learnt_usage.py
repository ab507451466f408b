"""Token counts whose meaning is known from ones that pydantic-ai has mapped.

pydantic-ai finds in its price list how a provider's counts are to be read, in some 0.05 ms an
answer. For one model and one set of counts that is always the same: each of its own counts is one
of the upstream's. So it maps the first that can be told apart, and where each came from is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from genai_prices.data_snapshot import get_snapshot
from pydantic_ai.usage import RequestUsage

__all__ = ["LearntUsage"]

_MOST = 64
_SUM = ("total_tokens",)
"""Never a count of its own; another sum may look like it."""

_NUMBERS = (int, float)
_Path = tuple[str, ...]
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
        """Take note of what pydantic-ai has `made` of `raw`, if it can be told where it is from."""
        found = _counts(raw)
        if found is None:
            return
        given = [(value, path) for path, value in found.items() if value and path != _SUM]
        sources = {value: path for value, path in given if type(value) is int}
        if len({value for value, _ in given}) < len(given):
            # Two are equal this time.
            return
        values = dict(vars(made))
        details = _sources(cast("Mapping[str, Any]", values.pop("details")), sources)
        counts = _sources({n: v for n, v in values.items() if v is not None}, sources)
        if counts is None or details is None:
            return
        if (prices := get_snapshot()) is not self._prices or len(self._known) >= _MOST:
            self._known.clear()
            self._prices = prices
        self._known[model, _shape(found)] = _Known(counts, details)


def _sources(
    made: Mapping[str, Any], sources: Mapping[int, _Path]
) -> tuple[tuple[str, _Path | None], ...] | None:
    """Where each of `made` is from; None where one cannot be told."""
    if not all(type(value) is int and (not value or value in sources) for value in made.values()):
        return None
    return tuple((name, sources[value] if value else None) for name, value in made.items())


def _counts(raw: Mapping[str, Any]) -> dict[_Path, object] | None:
    """What there is by its path; None where something else than numbers is among it.

    Seconds may stand beside the counts, but not among their details: a gateway's price may.
    """
    found: dict[_Path, object] = {}
    for name, value in raw.items():
        if isinstance(value, dict):
            found[name, ""] = None
            for key, inner in cast("dict[str, object]", value).items():
                if inner is not None and type(inner) is not int:
                    return None
                found[name, key] = inner
        elif value is None or type(value) in _NUMBERS:
            found[(name,)] = value
        else:
            return None
    return found


def _shape(found: Mapping[_Path, object]) -> tuple[object, ...]:
    """Which counts there are, and which of them are zero or null."""
    return tuple((path, type(value), not value) for path, value in found.items())
