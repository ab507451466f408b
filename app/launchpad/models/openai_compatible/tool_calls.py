"""Indices of streamed tool calls, made stable and unique.

OpenAI numbers the calls of a message and repeats the number in each of their fragments. Some
compatible servers give every call the index 0, or none. A fragment with a new id starts a new
call; one without an id belongs to the latest call under its index.
"""

from __future__ import annotations

from typing import Any

from launchpad.models.openai_compatible.json_values import objects_in


class ToolCallIndices:
    """Renumbers the tool call fragments of one stream: 0, 1, 2, … in order of appearance."""

    def __init__(self) -> None:
        self._current: dict[object, int] = {}
        self._by_id: dict[str, int] = {}
        self._started: set[int] = set()
        self._next = 0

    def settle(self, fragments: object) -> list[dict[str, Any]]:
        """The fragments of one chunk, each with its own call's index."""
        return [self._settle_one(fragment) for fragment in objects_in(fragments)]

    def _settle_one(self, fragment: dict[str, Any]) -> dict[str, Any]:
        given = fragment.get("index")
        call_id = fragment.get("id")
        if isinstance(call_id, str) and call_id:
            index = self._by_id.get(call_id)
            if index is None:
                index = self._open(given, call_id)
            self._current[given] = index
        elif given in self._current:
            index = self._current[given]
        elif given is None and self._next:
            index = self._next - 1
        else:
            index = self._open(given, None)
        fragment["index"] = index
        return fragment

    def _open(self, given: object, call_id: str | None) -> int:
        waiting = self._current.get(given)
        if waiting is not None and waiting not in self._started and call_id is not None:
            # Its first fragments came without the id.
            index = waiting
        else:
            index = self._next
            self._next += 1
        if call_id is not None:
            self._by_id[call_id] = index
            self._started.add(index)
        self._current[given] = index
        return index
