"""Fragments of streamed tool calls, made regular: indices, ids, names, arguments.

OpenAI numbers the calls of a message and repeats the number in each of their fragments; id and name
come once, arguments as text. Compatible servers give every call the index 0, or none; give two
calls one id; repeat the name in each fragment; give arguments as an object.

A fragment with a new id starts a new call; one without an id belongs to the latest call under its
index. What comes out has OpenAI's form, for whoever reads on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from launchpad.models.openai_compatible.json_values import objects_in


@dataclass(slots=True, eq=False)
class _Call:
    """What is known of a call. `given` and `given_id` are the upstream's index and id of it."""

    index: int
    given: object
    given_id: str | None = None
    new_id: str | None = None
    """Ours, where the upstream's belongs to another call."""
    name: str = ""
    begun: bool = False
    """Some of its arguments have come."""

    @property
    def told_by_name(self) -> bool:
        """Nothing but its name tells it from the next: the upstream gave neither index nor id."""
        return self.given is None and self.given_id is None and bool(self.name)


class ToolCallIndices:
    """Settles the tool call fragments of one stream; numbers: 0, 1, … in order of appearance."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._latest: dict[object, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def settle(self, fragments: object) -> list[dict[str, Any]]:
        """The fragments of one chunk, each with its own call's index."""
        return [self._settle_one(fragment) for fragment in objects_in(fragments)]

    def _settle_one(self, fragment: dict[str, Any]) -> dict[str, Any]:
        given = fragment.get("index")
        if not isinstance(given, int | str):
            given = None
        call_id = fragment.get("id")
        if call_id is not None:
            call_id = fragment["id"] = str(call_id) or None
        said = fragment.get("function")
        function = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        call = self._call(given, call_id, name)
        if call.new_id is not None and call_id:
            fragment["id"] = call.new_id
        fragment["index"] = call.index
        if function:
            _settle_function(call, function, name)
        return fragment

    def _call(self, given: object, call_id: str | None, name: str) -> _Call:
        """The call that a fragment is of."""
        latest = self._latest.get(given)
        if call_id is None:
            return self._call_without_id(given, latest, name)
        if latest is not None and latest.given_id == call_id:
            return latest
        known = self._by_id.get(call_id)
        if known is not None:
            if latest is None and name and given is not None and known.given is not None:
                call = self._open(given)
                call.given_id, call.new_id = call_id, f"{call_id}_{call.index}"
                return call
            self._latest[given] = known
            return known
        # Where it has none, its first fragments came without the id.
        call = latest if latest is not None and latest.given_id is None else self._open(given)
        call.given_id = call_id
        self._by_id[call_id] = call
        return call

    def _call_without_id(self, given: object, latest: _Call | None, name: str) -> _Call:
        call = latest
        if given is None:
            call = latest or (self._calls[-1] if self._calls else None)
            if call is not None and name and call.begun and call.told_by_name:
                call = None
        return call or self._open(given)

    def _open(self, given: object) -> _Call:
        call = _Call(len(self._calls), given)
        self._calls.append(call)
        self._latest[given] = call
        return call


def _settle_function(call: _Call, function: dict[str, Any], name: str) -> None:
    """Name and arguments as text that adds to what came before."""
    if name == call.name or (call.name and call.begun):
        # It is said again; a name that comes in pieces is complete when the arguments begin.
        name = ""
    call.name += name
    if "name" in function:
        function["name"] = name or None
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = function["arguments"] = msgspec.json.encode(arguments).decode()
    call.begun = call.begun or bool(arguments)
