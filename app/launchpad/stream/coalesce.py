"""Merge deltas that leave together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from launchpad.events import (
    JsonDelta,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    TextDelta,
    ToolCallDelta,
)

__all__ = ["coalesce"]

_Words = TextDelta | JsonDelta | ReasoningDelta | RefusalDelta
_WORDS: frozenset[type] = frozenset({TextDelta, JsonDelta, ReasoningDelta, RefusalDelta})


def coalesce(events: Sequence[RunEvent]) -> list[RunEvent]:
    """`events` with neighbouring deltas of one node and one kind merged into one.

    Order, text and every other event stay as they are. Pieces of one tool call merge too, up to
    a piece that brings a new `id`, `name` or `extra_content`.
    """
    if len(events) < 2:
        return list(events)
    merged: list[RunEvent] = []
    group: list[Any] = []
    kind: Any = None
    event: Any
    for event in events:
        if event.__class__ is kind and event.node == group[0].node:
            group.append(event)
            continue
        if group:
            merged.append(_join(group))
            group, kind = [], None
        if event.__class__ in _WORDS:
            group, kind = [event], event.__class__
            continue
        longer = None
        if merged and isinstance(event, ToolCallDelta):
            longer = _extended(merged[-1], event)
        if longer is not None:
            merged[-1] = longer
        else:
            merged.append(event)
    if group:
        merged.append(_join(group))
    return merged


def _join(group: list[_Words]) -> _Words:
    first = group[0]
    if len(group) == 1:
        return first
    return type(first)(first.node, "".join([event.text for event in group]))


def _extended(last: RunEvent, event: ToolCallDelta) -> ToolCallDelta | None:
    """`last` with `event` at its end, where both are pieces of one call."""
    if not isinstance(last, ToolCallDelta):
        return None
    if event.node != last.node or event.index != last.index or event.id or event.name:
        return None
    if event.extra_content is not None:
        return None
    return replace(last, arguments=last.arguments + event.arguments)
