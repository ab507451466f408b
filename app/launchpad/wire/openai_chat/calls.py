"""`CallIndex`: tool calls of several nodes under one numbering."""

from __future__ import annotations

from typing import Any, NamedTuple

from launchpad.events import FinishReason, ToolCallDelta
from launchpad.sse.frame import MAX_LINE, escape_json, split_text
from launchpad.wire.openai_chat.chunks import to_json

__all__ = ["CallIndex", "NumberedCall"]

# The rest of the line has far more room than it needs.
_LONGEST_PIECE = MAX_LINE * 3 // 4
_SURELY_FITS = _LONGEST_PIECE // 6

_PIECE = b'[{"index":%d,"function":{"arguments":%b}}]'


class NumberedCall(NamedTuple):
    """Where a piece of a call belongs on the wire. `id` and `name` come with the first piece."""

    position: int
    id: str | None
    name: str | None
    arguments: str


class CallIndex:
    """Numbers the calls of one choice from 0, in the order in which they begin on the wire."""

    def __init__(self, run_id: str, choice: int) -> None:
        self._prefix = f"call_{run_id}_{choice}_"
        self._known: dict[tuple[str, int], int] = {}
        self._ids: set[str] = set()

    def number(self, event: ToolCallDelta) -> NumberedCall:
        """The call's stable index and, with its first piece, an id that no other call has.

        It is made where the upstream gave none, and lengthened where a call before has it: two
        nodes ask models that know nothing of each other's ids.
        """
        key = (event.node, event.index)
        index = self._known.get(key)
        if index is not None:
            return NumberedCall(index, None, None, event.arguments)
        index = self._known[key] = len(self._known)
        call_id = event.id or f"{self._prefix}{index}"
        while call_id in self._ids:
            call_id = f"{call_id}_{index}"
        self._ids.add(call_id)
        return NumberedCall(index, call_id, event.name or "", event.arguments)

    def ending(self, reason: FinishReason | None) -> FinishReason | None:
        """Why the choice ends, where its last words did for `reason`.

        A client looks there for whether it has to run tools, whichever node called them.
        """
        return "tool_calls" if self._known and reason in {None, "stop"} else reason

    def pieces(self, event: ToolCallDelta) -> list[bytes]:
        """What a delta's `tool_calls` is for `event`; several where one line would be too long."""
        position = self._known.get((event.node, event.index))
        extra = event.extra_content
        if position is not None and extra is None and len(event.arguments) <= _SURELY_FITS:
            # The way of nearly every piece.
            return [_PIECE % (position, escape_json(event.arguments))]
        call = self.number(event)
        room = _LONGEST_PIECE
        if extra is not None:
            room = max(room - len(to_json(extra)), _SURELY_FITS)
        first, *rest = split_text(call.arguments, room) or [""]
        entry: dict[str, Any] = {"index": call.position}
        if call.id is None:
            entry["function"] = {"arguments": first}
        else:
            entry |= {"id": call.id, "type": "function"}
            entry["function"] = {"name": call.name, "arguments": first}
        if extra is not None:
            entry["extra_content"] = extra
        later = [{"index": call.position, "function": {"arguments": piece}} for piece in rest]
        return [to_json([piece]) for piece in (entry, *later)]
