"""What an OpenAI chunk says that a node passes on as a dict, from another server or SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from launchpad.errors import NodeError
from launchpad.events import (
    Delta,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.models.finish_reasons import BREAKS_OFF, finish_reason_of
from launchpad.models.live.stream import usage_of_openai
from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.upstream_errors import cut

__all__ = [
    "deltas_of_chunk",
    "deltas_of_delta",
    "ending_of",
    "extra_of",
    "is_chunk",
    "is_delta",
    "is_sdk_chunk",
    "plain",
]

_CHUNK = "chat.completion.chunk"
_DELTA_KEYS = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls"}
)
_CHUNK_KEYS = frozenset({"id", "object", "created", "model", "usage"})
_ROLES = frozenset({"assistant", None})
"""Who speaks in a delta."""


def plain(text: str) -> str:
    """`text` as a str of exactly that type."""
    # Not str(text): an enum's member would give its name.
    return str.__str__(text)


def is_chunk(item: Mapping[str, Any]) -> bool:
    """Whether `item` has a chunk's shape: a user's own data may have `choices`, too."""
    choices: Any = item.get("choices")
    if item.get("object") == _CHUNK:
        return isinstance(choices, Sequence)
    if not isinstance(choices, list | tuple):
        return False
    if not choices:
        return len(item) == 1 or not _CHUNK_KEYS.isdisjoint(item)
    return all("delta" in _mapping(choice) for choice in cast("list[object]", choices))


def is_sdk_chunk(item: object) -> bool:
    """Whether `item` is a chunk as an OpenAI SDK's class, which is a pydantic model."""
    return getattr(item, "object", None) == _CHUNK and hasattr(item, "choices")


def is_delta(item: Mapping[str, Any]) -> bool:
    """Whether `item` has a delta's shape."""
    if not item or not item.keys() <= _DELTA_KEYS or item.get("role") not in _ROLES:
        return False
    # A user's own data may well have a list or an object of that name.
    return isinstance(item.get("reasoning"), str | None)


def deltas_of_chunk(chunk: Mapping[str, Any], node: str) -> Sequence[Delta]:
    """What the first choice of `chunk` says: a node has one voice. Raises `NodeError`."""
    return deltas_of_delta(_mapping(_choice(chunk).get("delta")), node)


def ending_of(chunk: Mapping[str, Any]) -> tuple[FinishReason | None, Usage | None]:
    """Why the answer ended and what it took, where `chunk` is one and tells.

    Raises `UpstreamError` where its server gave up.
    """
    if not is_chunk(chunk):
        return None, None
    reason = _choice(chunk).get("finish_reason")
    if isinstance(reason, str) and reason.lower() in BREAKS_OFF:
        raise cut(f"its finish reason is {reason!r}")
    usage = _mapping(chunk.get("usage"))
    return (
        finish_reason_of(reason) if isinstance(reason, str) else None,
        usage_of_openai(usage) if usage else None,
    )


def deltas_of_delta(delta: Mapping[str, Any], node: str) -> Sequence[Delta]:
    """The events of a chunk's `delta`. Raises `NodeError` for a tool call that is none."""
    events: list[Delta] = []
    if reasoning := _reasoning(delta):
        events.append(ReasoningDelta(node, _text(reasoning)))
    if content := delta.get("content"):
        events.append(TextDelta(node, _text(content)))
    if refusal := delta.get("refusal"):
        events.append(RefusalDelta(node, _text(refusal)))
    for position, call in enumerate(delta.get("tool_calls") or ()):
        events.append(_tool_call(call, position, node))
    return events


def _reasoning(delta: Mapping[str, Any]) -> object:
    """What a delta has under DeepSeek's name, or OpenRouter's and vLLM's: some say both at once."""
    other = delta.get("reasoning")
    return delta.get("reasoning_content") or (other if isinstance(other, str) else None)


def _choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    for choice in map(_mapping, chunk["choices"]):
        if choice.get("index") in {0, None}:
            return choice
    return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _tool_call(call: object, position: int, node: str) -> ToolCallDelta:
    given = cast("Mapping[str, Any]", call) if isinstance(call, Mapping) else None
    function: Any = (given.get("function") or {}) if given is not None else None
    if given is None or not isinstance(function, Mapping):
        raise NodeError(node, "yielded a chunk whose tool call is not an object.")
    function = cast("Mapping[str, Any]", function)
    index = given.get("index", position)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise NodeError(node, f"yielded a tool call whose index is {index!r}, not a number.")
    return ToolCallDelta(
        node,
        index=index,
        arguments=_arguments(function.get("arguments"), node),
        id=_text(given["id"]) if given.get("id") else None,
        name=_text(function["name"]) if function.get("name") else None,
        extra_content=extra_of(given.get("extra_content"), node),
    )


def extra_of(given: object, node: str) -> dict[str, Any] | None:
    """A call's `extra_content` as plain JSON; None where it is no object. Raises `NodeError`."""
    if not (isinstance(given, Mapping) and given):
        return None
    try:
        return as_object(json.loads(json.dumps(dict(_mapping(cast("object", given))))))
    except (TypeError, ValueError, RecursionError) as error:
        raise NodeError(
            node, f"yielded a tool call's extra_content that is no JSON: {error}"
        ) from error


def _arguments(given: object, node: str) -> str:
    """Arguments as JSON text; some servers give the object itself."""
    if given is None or isinstance(given, str):
        return plain(given or "")
    try:
        return msgspec.json.encode(given).decode()
    except (TypeError, ValueError) as error:
        raise NodeError(
            node, f"yielded a tool call's arguments that are no JSON: {error}"
        ) from error


def _text(value: object) -> str:
    return plain(value if isinstance(value, str) else str(value))
