"""Decoded JSON of unknown shape, read without trust."""

from __future__ import annotations

import re
from typing import Any

_STATUS = re.compile("[1-9][0-9]{2}")
_WELL = frozenset({"", "0", "ok", "success"})
"""Words for a code where nothing went wrong."""


def as_object(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def as_list(value: object) -> list[Any]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects in a JSON array; none if it is no array."""
    return [found for one in as_list(value) if (found := as_object(one))]


def error_in(body: dict[str, Any]) -> object:
    """What a body or an event says went wrong; None where it is no error.

    It stands under `error`, or is the body itself: from older vLLM and what is made after it, and
    from DashScope, which has no more than a code and a message there. A code below 400 is none,
    and neither is one that says that all is well.
    """
    if error := body.get("error"):
        return error
    if body.get("object") == "error":
        return body
    code = body.get("code")
    if isinstance(code, str):
        # Not every text of digits is a number to `int`.
        failed = code >= "400" if _STATUS.fullmatch(code) else code.lower() not in _WELL
    else:
        failed = code >= 400 if isinstance(code, int) else bool(code)
    return body if failed and body.get("message") and "choices" not in body else None
