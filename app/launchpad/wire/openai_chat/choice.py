"""One choice of a stream, as words: text, reasoning, refusal, tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from launchpad.events import (
    FinishReason,
    JsonDelta,
    NodeFinished,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
)
from launchpad.sse.frame import escape_json
from launchpad.wire.openai_chat.calls import CallIndex
from launchpad.wire.openai_chat.chunks import ChoiceTemplate
from launchpad.wire.order import Order
from launchpad.wire.pairs import ends_in_half

__all__ = ["FIELDS", "WordsChoice"]

FIELDS: dict[type[RunEvent], str] = {
    TextDelta: "content",
    JsonDelta: "content",
    ReasoningDelta: "reasoning_content",
    RefusalDelta: "refusal",
}
"""Which field of a delta, or of a message, a kind of words goes to."""

_KINDS = {
    field: [kind for kind, name in FIELDS.items() if name == field] for field in FIELDS.values()
}

ROLE = b'{"role":"assistant","content":"","refusal":null}'

# What is shorter fits on a line even if every character becomes a six-byte escape.
_SURELY_FITS = 8 * 1024
_encode = msgspec.json.Encoder().encode


class WordsChoice:
    """Writes one choice's chunks."""

    def __init__(self, template: ChoiceTemplate, calls: CallIndex, *, hold_limit: int) -> None:
        self._template = template
        self._calls = calls
        self._order = Order(hold_limit=hold_limit)
        self._heads: dict[type[RunEvent], bytes] = {}
        self._tail = b""
        self._tail_node: str | None = None
        self._begun = False
        self._finish_reason: FinishReason | None = None

    def write(self, events: Sequence[RunEvent], out: list[bytes]) -> RunFinished | RunFailed | None:
        """Append the chunks that `events` are; return the event that ends the run, if it is there.

        Raises `OutputError` as `Order.push` does.
        """
        order = self._order
        heads = self._heads
        append = out.append
        event: Any
        for event in events:
            kind: type[RunEvent] = event.__class__
            if kind in order.opened and event.node == order.floor:
                # The way of nearly every token: nothing but its text is new.
                text: str = event.text
                if 0 < len(text) <= _SURELY_FITS:
                    if text.isascii():
                        append(heads[kind] + _encode(text) + self._tail)
                        continue
                    if not ends_in_half(text):
                        append(heads[kind] + escape_json(text) + self._tail)
                        continue
            for told in order.push(event):
                if isinstance(told, RunFinished | RunFailed):
                    if isinstance(told, RunFinished):
                        self._finish(told, out)
                    return told
                self._tell(told, out)
        return None

    def _tell(self, event: RunEvent, out: list[bytes]) -> None:
        if isinstance(event, NodeFinished):
            self._finish_reason = event.finish_reason or self._finish_reason
        elif isinstance(event, TextDelta | JsonDelta | ReasoningDelta | RefusalDelta):
            self._begin(event.node, out)
            field = FIELDS[type(event)]
            if type(event) not in self._heads:
                # `Order` opens a field to every kind of words that it takes.
                self._heads |= dict.fromkeys(_KINDS[field], self._template.head(field))
            text = event.text
            if len(text) <= _SURELY_FITS:
                out.append(self._heads[type(event)] + escape_json(text) + self._tail)
            else:
                out.append(self._template.words(field, text, event.node))
        elif isinstance(event, ToolCallDelta):
            self._begin(event.node, out)
            head = self._template.head("tool_calls")
            out.extend([head + call + self._tail for call in self._calls.pieces(event)])

    def _begin(self, node: str | None, out: list[bytes]) -> None:
        if node is not None and node != self._tail_node:
            self._tail_node, self._tail = node, self._template.tail(node)
        if not self._begun:
            self._begun = True
            if node is None:
                out.append(self._template.chunk(ROLE))
            else:
                out.append(self._template.opening(ROLE) + self._tail)

    def _finish(self, event: RunFinished, out: list[bytes]) -> None:
        self._begin(None, out)
        reason = self._calls.ending(self._finish_reason or event.finish_reason)
        out.append(self._template.chunk(b"{}", None, reason))
