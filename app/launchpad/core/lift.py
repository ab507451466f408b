"""What a node yields, lifted once into an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from launchpad.errors import NodeError
from launchpad.events import (
    Delta,
    JsonDelta,
    JsonSnapshot,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

DELTAS = (TextDelta, JsonDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, JsonSnapshot)
_DELTA_KEYS = frozenset({"role", "content", "refusal", "reasoning_content", "tool_calls"})


def lift(item: object, node: str) -> Sequence[Delta]:
    """Turn what `node` yielded into events, empty where it says nothing.

    - a str is text;
    - an event is itself, with `node` filled in where it is empty;
    - a dict shaped like an OpenAI chunk (`choices`) or delta (`role`, `content`, …) is what its
      delta says; an event's own serialisation (`kind`: its name) is that event; any other
      dict is a whole JSON document.

    Raises `NodeError`, which names the node, for anything else.
    """
    if isinstance(item, str):
        return (TextDelta(node, item),) if item else ()
    if isinstance(item, DELTAS):
        return (item if item.node else msgspec.structs.replace(item, node=node),)
    if isinstance(item, Mapping):
        return _from_dict(cast("Mapping[str, Any]", item), node)
    raise NodeError(
        node,
        f"yielded {type(item).__name__}; a node may yield str, a dict or an event of "
        "launchpad.events.",
    )


def _from_dict(item: Mapping[str, Any], node: str) -> Sequence[Delta]:
    kind = item.get("kind")
    if isinstance(kind, str) and any(kind == event.__name__ for event in DELTAS):
        try:
            return (msgspec.convert({"node": node, **item}, type=Delta),)
        except msgspec.ValidationError as error:
            raise NodeError(node, f"yielded a dict that is no {kind}: {error}") from error
    if isinstance(item.get("choices"), Sequence):
        choices: Any = item["choices"]
        delta: Any = choices[0].get("delta") if choices and isinstance(choices[0], dict) else None
        return _from_delta(cast("dict[str, Any]", delta), node) if isinstance(delta, dict) else ()
    if item and item.keys() <= _DELTA_KEYS:
        return _from_delta(item, node)
    try:
        document = msgspec.json.encode(item).decode()
    except (TypeError, ValueError) as error:
        raise NodeError(node, f"yielded a dict that is not JSON: {error}") from error
    return (JsonDelta(node, document),)


def _from_delta(delta: Mapping[str, Any], node: str) -> Sequence[Delta]:
    events: list[Delta] = []
    if reasoning := delta.get("reasoning_content"):
        events.append(ReasoningDelta(node, str(reasoning)))
    if content := delta.get("content"):
        events.append(TextDelta(node, str(content)))
    if refusal := delta.get("refusal"):
        events.append(RefusalDelta(node, str(refusal)))
    for position, call in enumerate(delta.get("tool_calls") or ()):
        function = call.get("function") or {}
        events.append(
            ToolCallDelta(
                node,
                index=call.get("index", position),
                arguments=function.get("arguments") or "",
                id=call.get("id"),
                name=function.get("name"),
            )
        )
    return events
