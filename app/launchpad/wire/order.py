"""`Order`: nodes that speak at the same time, one after another on one wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from launchpad.errors import OutputError
from launchpad.events import (
    Delta,
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
)
from launchpad.stream.coalesce import coalesce
from launchpad.stream.size import length_of
from launchpad.wire.pairs import Pairs

__all__ = ["HOLD_LIMIT", "PARAGRAPH", "Order"]

PARAGRAPH = "\n\n"
"""Opens each later node's text."""

HOLD_LIMIT = 8 * 1024 * 1024
"""How much of the nodes that have to wait is kept, in characters and a fixed cost per event."""

_EVENT_COST = 128

_Words = TextDelta | JsonDelta | ReasoningDelta | RefusalDelta
_SAID = (TextDelta, JsonDelta, ReasoningDelta, RefusalDelta, ToolCallDelta)
_DELTAS: frozenset[type] = frozenset({*_SAID, JsonSnapshot})
_NONE: frozenset[type[RunEvent]] = frozenset()
_FIELD_OF: dict[type[RunEvent], frozenset[type[RunEvent]]] = {
    kind: frozenset(kinds)
    for kinds in ((TextDelta, JsonDelta), (ReasoningDelta,), (RefusalDelta,))
    for kind in kinds
}
"""The kinds of words that go to the same field, by each of them."""


class Order:
    """Puts one run's events into the order in which a single voice tells them.

    One node has the floor; the words of the others are held until it ends. Nodes with a parent
    (they run beside each other) get the floor in the order of their `NodeStarted`, before their
    parent; any other node gets it when it speaks. The first words of a later node open with
    `PARAGRAPH`, in text (JSON included), reasoning and refusal each. A node that says snapshots
    is told by its last one, as JSON text, when it ends. A surrogate pair that was cut between two
    deltas is told whole.

    What comes out, concatenated by kind, is the same however the events were batched.
    """

    def __init__(self, *, hold_limit: int = HOLD_LIMIT) -> None:
        self.floor: str | None = None
        """The node that is speaking."""
        self.opened: set[type[RunEvent]] = set()
        """Kinds of the owner's words that need no `push`: it would leave them as they are.

        Except words that end in half a pair (`pairs.ends_in_half`).
        """
        self._hold_limit = hold_limit
        self._parents: dict[str, str | None] = {}
        self._running: list[str] = []
        self._held: dict[str, list[RunEvent]] = {}
        self._held_size = 0
        self._snapshots: dict[str, str] = {}
        self._last_writer: dict[frozenset[type[RunEvent]], str] = {}
        self._pairs = Pairs()

    def push(self, event: RunEvent) -> Sequence[RunEvent]:
        """What may be told now that `event` has happened.

        `NodeStarted` and empty deltas tell nothing. Raises `OutputError` where more would have
        to be held than the limit allows.
        """
        if event.__class__ in _DELTAS or isinstance(event, _SAID):
            words: Any = event
            return self._speak(words)
        if isinstance(event, NodeStarted):
            self._enter(event)
            return ()
        if isinstance(event, NodeFinished):
            return self._finish(event)
        if isinstance(event, RunFinished):
            return (*self._release_all(), event)
        if isinstance(event, RunFailed):
            self._held.clear()
        return (event,)

    def _speak(self, event: Delta) -> Sequence[RunEvent]:
        if isinstance(event, JsonSnapshot):
            self._snapshots[event.node] = event.text
            return ()
        if not isinstance(event, ToolCallDelta) and not event.text:
            return ()
        if self._has_floor(event.node):
            return self._tell(event)
        self._hold(event)
        return ()

    def _finish(self, event: NodeFinished) -> Sequence[RunEvent]:
        if self._is_alone(event.node):
            self._leave(event.node)
            return (event,)
        last = self._snapshots.pop(event.node, None)
        document = self._speak(JsonDelta(event.node, last)) if last else ()
        if not self._has_floor(event.node):
            self._hold(event)
            return document
        ending = self._tell(event)
        self._leave(event.node)
        return (*document, *ending, *self._advance())

    def _is_alone(self, node: str) -> bool:
        """Whether nothing waits, for `node` or for others, and no other node is running."""
        return self._running == [node] and not (self._held or self._snapshots or self._pairs.held)

    def _has_floor(self, node: str) -> bool:
        if node == self.floor:
            return True
        if node not in self._running:
            self._running.append(node)
        if self.floor is None:
            self.floor = self._next_speaker(node)
        return node == self.floor

    def _enter(self, event: NodeStarted) -> None:
        node, parent = event.node, event.parent
        self._parents[node] = parent
        if node in self._running:
            return
        if parent in self._running:
            self._running.insert(self._running.index(parent), node)
        else:
            self._running.append(node)

    def _leave(self, node: str) -> None:
        self._running.remove(node)
        self.floor = None
        self.opened.clear()

    def _next_speaker(self, speaking: str | None) -> str | None:
        """Who gets the floor: the first who may not be overtaken, or who has something to say."""
        for node in self._running:
            if node == speaking or node in self._held:
                return node
            if self._parents.get(node) is not None:
                return node
        return None

    def _hold(self, event: Delta | NodeFinished) -> None:
        self._held.setdefault(event.node, []).append(event)
        self._held_size += _size(event)
        if self._held_size > self._hold_limit:
            raise OutputError(
                event.node,
                "said more while another node had the floor than can be held for it.",
            )

    def _advance(self) -> list[RunEvent]:
        """Pass the floor on, and tell what its new owner has said so far."""
        told: list[RunEvent] = []
        while (node := self._next_speaker(None)) is not None:
            self.floor = node
            held = self._take_held(node)
            told.extend(held)
            if not (held and isinstance(held[-1], NodeFinished)):
                break
            self._leave(node)
        return told

    def _release_all(self) -> list[RunEvent]:
        if not (self._running or self._held or self._snapshots or self._pairs.held):
            return []
        for node, last in self._snapshots.items():
            self._held.setdefault(node, []).append(JsonDelta(node, last))
        told: list[RunEvent] = list(map(self._opening, self._pairs.release()))
        waiting = [node for node in self._running if node in self._held]
        for node in dict.fromkeys((*waiting, *self._held)):
            told.extend(self._take_held(node))
            told.extend(map(self._opening, self._pairs.release(node)))
        self._running.clear()
        self.floor = None
        self.opened.clear()
        return told

    def _take_held(self, node: str) -> list[RunEvent]:
        held = self._held.pop(node, [])
        self._held_size -= sum(map(_size, held))
        return [told for event in coalesce(held) for told in self._tell(event)]

    def _tell(self, event: RunEvent) -> Sequence[RunEvent]:
        """`event` as its node, which has the floor, says it."""
        if isinstance(event, NodeFinished):
            return (*map(self._opening, self._pairs.release(event.node)), event)
        if not isinstance(event, _SAID):
            return (event,)
        if not (isinstance(event, ToolCallDelta) or self._pairs.held):
            if not event.text:
                return ()
            if event.text.isascii():
                return (self._opening(event),)
        whole = self._pairs.join(event)
        if not isinstance(whole, ToolCallDelta) and not whole.text:
            # All of it waits. What comes next has to pass here, to be joined to it.
            self.opened -= _field_of(whole)
            return ()
        told = self._opening(whole)
        if event in self._pairs:
            self.opened -= _field_of(event)
        return (told,)

    def _opening(self, event: RunEvent) -> RunEvent:
        """`event`, with the paragraph before it where another node's words precede."""
        kinds = _field_of(event)
        if not kinds:
            return event
        words: Any = event
        last = self._last_writer.get(kinds)
        self._last_writer[kinds] = words.node
        if words.node == self.floor:
            self.opened |= kinds
        if last is None or last == words.node:
            return event
        opened: RunEvent = replace(words, text=PARAGRAPH + words.text)
        return opened


def _field_of(event: RunEvent) -> frozenset[type[RunEvent]]:
    """The kinds of words that go to the same field as `event`; none where it is no word."""
    known = _FIELD_OF.get(type(event))
    if known is not None:
        return known
    # A node may say events of a class that is derived from ours.
    return next((kinds for kind, kinds in _FIELD_OF.items() if isinstance(event, kind)), _NONE)


def _size(event: RunEvent) -> int:
    return _EVENT_COST + length_of(event)
