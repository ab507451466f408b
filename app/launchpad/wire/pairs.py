"""`Pairs`: characters that an upstream cut in two between deltas."""

from __future__ import annotations

from typing import TypeVar, cast

from msgspec.structs import replace

from launchpad.events import (
    JsonDelta,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    TextDelta,
    ToolCallDelta,
)

__all__ = ["Pairs", "ends_in_half"]

_Said = TextDelta | JsonDelta | ReasoningDelta | RefusalDelta | ToolCallDelta
_Event = TypeVar("_Event", bound=_Said)
_Key = tuple[str, type[RunEvent], int]


def ends_in_half(text: str) -> bool:
    """Whether the last character is the first half of a surrogate pair."""
    return "\ud800" <= text[-1:] <= "\udbff"


class Pairs:
    """Holds the first half of a pair back until its field goes on, or its node ends.

    A half alone has no UTF-8 form; escaped in JSON, as some upstreams send it, the halves may come
    in two deltas. A field is a node's text (JSON included), reasoning or refusal, or the arguments
    of one call.
    """

    def __init__(self) -> None:
        self.held: dict[_Key, _Said] = {}
        """The halves that wait."""

    def __contains__(self, event: _Said) -> bool:
        """Whether a half of the event's field is held."""
        return bool(self.held) and _key(event) in self.held

    def join(self, event: _Event) -> _Event:
        """`event` with the half that was held before it, without the one at its end."""
        waiting = self.held.pop(_key(event), None) if self.held else None
        text = _text(event)
        if waiting is None and not ends_in_half(text):
            return event
        if waiting is not None:
            text = _text(waiting) + text
        if ends_in_half(text):
            # What names a call is told now; the rest is only its text.
            self.held[_key(event)] = _with_text(_bare(event), text[-1])
            text = text[:-1]
        return _with_text(event, text)

    def release(self, node: str | None = None) -> list[_Said]:
        """The halves of `node` that found no other; of every node, if None."""
        if not self.held:
            return []
        keys = [key for key in self.held if node is None or key[0] == node]
        return [self.held.pop(key) for key in keys]


def _key(event: _Said) -> _Key:
    if isinstance(event, ToolCallDelta):
        return event.node, ToolCallDelta, event.index
    return event.node, TextDelta if isinstance(event, JsonDelta) else type(event), 0


def _text(event: _Said) -> str:
    return event.arguments if isinstance(event, ToolCallDelta) else event.text


def _bare(event: _Event) -> _Event:
    if isinstance(event, ToolCallDelta):
        return cast("_Event", ToolCallDelta(event.node, event.index))
    return event


def _with_text(event: _Event, text: str) -> _Event:
    if isinstance(event, ToolCallDelta):
        return cast("_Event", replace(event, arguments=text))
    return replace(event, text=text)
