"""The answer of a run in which no node spoke: the last node's output, in words."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from pydantic import BaseModel

from launchpad.errors import NodeError
from launchpad.events import Delta, JsonDelta, TextDelta

__all__ = ["told"]


def told(output: Any, node: str) -> Delta:
    """What a node that did not speak produced, as its words: text, or JSON.

    Raises `NodeError` for an output that is neither.
    """
    if isinstance(output, str):
        return TextDelta(node, str(output))
    if isinstance(output, BaseModel):
        return JsonDelta(node, output.model_dump_json())
    # msgspec would make base64 of bytes, which nobody asked for.
    if not isinstance(output, bytes | bytearray):
        with suppress(TypeError, ValueError):
            return JsonDelta(node, msgspec.json.encode(output, enc_hook=_plain).decode())
    raise NodeError(
        node,
        f"its output, a {type(output).__name__}, is the answer, and is neither text nor JSON; save "
        "a str, a dict or a model, or let a node speak.",
    )


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
