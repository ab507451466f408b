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

    What an object keeps to itself is left out: of an agent's whole run, say, its instructions and
    its history (`_messages`). Raises `NodeError` for an output that is neither.
    """
    if isinstance(output, str):
        return TextDelta(node, str(output))
    if isinstance(output, BaseModel):
        return JsonDelta(node, output.model_dump_json())
    # msgspec would make base64 of bytes, which nobody asked for.
    if not isinstance(output, bytes | bytearray):
        with suppress(TypeError, ValueError, RecursionError):
            shown = _shown(output) if _is_private(output) else output
            return JsonDelta(node, msgspec.json.encode(shown, enc_hook=_plain).decode())
    raise NodeError(
        node,
        f"its output, a {type(output).__name__}, is the answer, and is neither text nor JSON; save "
        "a str, a dict or a model, or let a node speak.",
    )


def _is_private(value: object) -> bool:
    """Whether an object in `value` has fields of its own, as dataclasses may: `_history`."""
    within: Iterable[object] = ()
    if isinstance(value, Mapping):
        within = cast("Mapping[object, object]", value).values()
    elif isinstance(value, _SEQUENCES):
        within = cast("Iterable[object]", value)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        if any(name.startswith("_") for name in names):
            return True
        within = [getattr(value, name, None) for name in names]
    return any(type(one) not in _SCALARS and _is_private(one) for one in within)


def _shown(value: object) -> object:
    """`value` without such fields."""
    if isinstance(value, Mapping):
        given = cast("Mapping[object, object]", value)
        return {key: _shown(one) for key, one in given.items()}
    if isinstance(value, _SEQUENCES):
        return [_shown(one) for one in cast("Iterable[object]", value)]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    names = [field.name for field in fields(value)]
    return {name: _shown(getattr(value, name)) for name in names if not name.startswith("_")}


_SCALARS = frozenset({str, int, float, bool, type(None)})
_SEQUENCES = (list, tuple, set, frozenset)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
