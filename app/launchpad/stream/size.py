"""`size_of`: how much text events add to an answer."""

from __future__ import annotations

from collections.abc import Sequence

from launchpad.events import OfChoice, RunEvent, ToolCallDelta

__all__ = ["length_of", "size_of"]


def size_of(events: Sequence[RunEvent]) -> int:
    """The characters of text, JSON, reasoning and tool calls' arguments in `events`."""
    return sum(map(length_of, events))


def length_of(event: RunEvent) -> int:
    """The characters that one event adds."""
    if isinstance(event, OfChoice):
        event = event.event
    if isinstance(event, ToolCallDelta):
        extra = event.extra_content
        return len(event.arguments) + (0 if extra is None else len(str(extra)))
    return len(getattr(event, "text", ""))
