"""`size_of`: how much text events add to an answer."""

from __future__ import annotations

from collections.abc import Sequence

from launchpad.events import OfChoice, RunEvent, ToolCallDelta

__all__ = ["size_of"]


def size_of(events: Sequence[RunEvent]) -> int:
    """The characters of text, JSON, reasoning and tool calls' arguments in `events`."""
    return sum(map(_length, events))


def _length(event: RunEvent) -> int:
    if isinstance(event, OfChoice):
        event = event.event
    if isinstance(event, ToolCallDelta):
        return len(event.arguments)
    return len(getattr(event, "text", ""))
