"""The answer of a run in which no node spoke: the last node's output, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, cast

import msgspec
from pydantic import BaseModel

from launchpad.errors import NodeError
from launchpad.events import Delta, JsonDelta, TextDelta

__all__ = ["told"]


def told(output: Any, node: str) -> Delta:
    """What a node that did not speak produced, as its words: text, or JSON.

    Raises `NodeError` for an output that is neither, and for one that holds an object with fields
    of its own (`_messages`): an agent's whole run, say, with its instructions and its history.
    """
    if isinstance(output, str):
        return TextDelta(node, str(output))
    if isinstance(output, BaseModel):
        return JsonDelta(node, output.model_dump_json())
    if (kind := _private(output)) is not None:
        raise NodeError(
            node,
            f"its output holds a {kind}, which has private fields, and is the answer; save what "
            "the client is to see (of an agent's run: result.output).",
        )
    # msgspec would make base64 of bytes, which nobody asked for.
    if not isinstance(output, bytes | bytearray):
        with suppress(TypeError, ValueError):
            return JsonDelta(node, msgspec.json.encode(output, enc_hook=_plain).decode())
    raise NodeError(
        node,
        f"its output, a {type(output).__name__}, is the answer, and is neither text nor JSON; save "
        "a str, a dict or a model, or let a node speak.",
    )


def _private(value: object) -> str | None:
    """The type of the first object in `value` that has private fields; None where none has."""
    within: Iterable[object] = ()
    if isinstance(value, Mapping):
        within = cast("Mapping[object, object]", value).values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        within = cast("Iterable[object]", value)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        if any(name.startswith("_") for name in names):
            return type(value).__name__
        within = [getattr(value, name, None) for name in names]
    return next((kind for one in within if (kind := _private(one)) is not None), None)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
