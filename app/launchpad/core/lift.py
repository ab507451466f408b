"""What a node yields, lifted once into an event."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel

from launchpad.core.relay import (
    deltas_of_chunk,
    deltas_of_delta,
    extra_of,
    is_chunk,
    is_delta,
    plain,
)
from launchpad.errors import NodeError, UpstreamError
from launchpad.events import (
    Delta,
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
)

DELTAS = (TextDelta, JsonDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, JsonSnapshot)
_MILESTONES = (RunStarted, NodeStarted, NodeFinished, RunFinished)


def lift(item: object, node: str) -> Sequence[Delta]:
    """Turn what `node` yielded into events, empty where it says nothing.

    - a str is text;
    - an event is said by `node`, whichever it names; so a node may forward the whole stream of
      another workflow's run, whose nodes then are one voice. That run's starts and finishes say
      nothing here, and its `RunFailed` fails this node, with the same message and status;
    - a dict shaped like an OpenAI chunk (`choices` with a `delta` each) or delta (`content`, …; its
      `role`, if any, is `assistant`) is what its delta says; an event's own serialisation
      (`kind`: its name) is that event; any other dict is a whole JSON document, and so is a
      pydantic model.

    The texts of what comes out are plain str, never a subclass (an enum's member, LangChain's
    text), which encoders refuse. Raises `NodeError`, which names the node, for anything else.
    """
    if isinstance(item, str):
        return (TextDelta(node, plain(item)),) if item else ()
    if isinstance(item, DELTAS):
        return (_own(item, node),)
    if isinstance(item, Mapping):
        return _from_dict(cast("Mapping[str, Any]", item), node)
    if isinstance(item, BaseModel):
        return _from_model(item, node)
    if isinstance(item, _MILESTONES):
        return ()
    if isinstance(item, RunFailed):
        raise _failure_of(item, node)
    raise NodeError(
        node,
        f"yielded {type(item).__name__}; a node may yield str, a dict, a pydantic model or an "
        f"event of launchpad.events{_instead(item)}.",
    )


def _instead(item: object) -> str:
    """What to write in its stead, where it is clear what was meant."""
    for fits, remedy in _REMEDIES:
        if fits(item):
            if inspect.iscoroutine(item):
                item.close()
            return f": {remedy}"
    return ""


def _has(method: str) -> Callable[[object], bool]:
    return lambda item: hasattr(type(item), method)


_REMEDIES: tuple[tuple[Callable[[object], bool], str], ...] = (
    (lambda item: item is None, "where there is nothing to say, yield nothing"),
    (
        _has("__aenter__"),
        "write async with … as result, and yield what stream_text_deltas(result) gives",
    ),
    (inspect.isawaitable, "write await before it"),
    (_has("stream_text"), "yield what self.stream_text_deltas(result) gives"),
    (_has("__aiter__"), "write async for part in …, and yield each part"),
    (lambda item: isinstance(item, bytes | bytearray), "decode it first"),
    (lambda item: isinstance(item, int | float), "write str(…)"),
    (lambda item: hasattr(item, "output"), "yield its .output"),
    (
        lambda item: isinstance(item, list | tuple | set | frozenset | Iterator),
        "yield what is in it, one by one",
    ),
)


def _own(event: Delta, node: str) -> Delta:
    """`event` as `node` says it. Raises `NodeError` where a text is none."""
    try:
        if isinstance(event, ToolCallDelta):
            return ToolCallDelta(
                node,
                event.index,
                plain(event.arguments),
                None if event.id is None else plain(event.id),
                None if event.name is None else plain(event.name),
                extra_of(event.extra_content, node),
            )
        if event.node == node and type(event.text) is str:
            return event
        return replace(event, node=node, text=plain(event.text))
    except TypeError as error:
        kind = type(event).__name__
        raise NodeError(node, f"yielded a {kind} whose text is no str.") from error


def _failure_of(event: RunFailed, node: str) -> NodeError:
    error = NodeError(node, event.message)
    # As a model's failure it keeps what a client may see of it.
    error.__cause__ = UpstreamError(
        event.message,
        status=event.status,
        type=event.type,
        code=event.code or NodeError.code,
        retry_after=event.retry_after,
    )
    return error


def is_document(item: object) -> bool:
    """Whether `item` is a whole JSON document to `lift`."""
    if isinstance(item, BaseModel):
        return True
    if not isinstance(item, Mapping):
        return False
    given = cast("Mapping[str, Any]", item)
    return not (_is_event(given) or is_chunk(given) or is_delta(given))


def _from_model(item: BaseModel, node: str) -> Sequence[Delta]:
    if any(base.__module__.startswith("langchain_core.messages") for base in type(item).__mro__):
        kind = type(item).__name__
        raise NodeError(
            node,
            f"yielded LangChain's {kind}; yield its text, or derive the node from "
            "LangChainStreamingNode.",
        )
    return (JsonDelta(node, item.model_dump_json()),)


def _is_event(item: Mapping[str, Any]) -> bool:
    kind = item.get("kind")
    return isinstance(kind, str) and any(kind == event.__name__ for event in DELTAS)


def _from_dict(item: Mapping[str, Any], node: str) -> Sequence[Delta]:
    if _is_event(item):
        try:
            fields = {key: plain(v) if isinstance(v, str) else v for key, v in item.items()}
            return (msgspec.convert({**fields, "node": node}, type=Delta),)
        except msgspec.ValidationError as error:
            raise NodeError(node, f"yielded a dict that is no {item['kind']}: {error}") from error
    if is_chunk(item):
        return deltas_of_chunk(item, node)
    if is_delta(item):
        return deltas_of_delta(item, node)
    try:
        document = msgspec.json.encode(item, enc_hook=_plain_value).decode()
    except (TypeError, ValueError) as error:
        raise NodeError(node, f"yielded a dict that is not JSON: {error}") from error
    return (JsonDelta(node, document),)


def _plain_value(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON value")
