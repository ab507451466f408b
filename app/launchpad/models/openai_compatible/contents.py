"""The `content` of a delta, whatever its form: its text, and what is thought in it. Sync, pure."""

from __future__ import annotations

from types import NoneType
from typing import Any, Final

from launchpad.models.openai_compatible.json_values import as_list, as_object, objects_in

__all__ = ["TEXT_OR_NONE", "settle_content", "text_of"]

TEXT_OR_NONE: Final[frozenset[type]] = frozenset({str, NoneType})


def text_of(content: object) -> str:
    """The text of a delta's `content`: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    pieces: list[str] = []
    for part in as_list(content):
        if isinstance(part, str):
            pieces.append(part)
        else:
            found = as_object(part)
            if found.get("type") == "text" and isinstance(found.get("text"), str):
                pieces.append(found["text"])
    return "".join(pieces)


def settle_content(delta: dict[str, Any]) -> None:
    """Take thoughts out of the parts of `content`, and make a number of it a text.

    Mistral's reasoning models think in parts of their own.
    """
    content: object = delta["content"]
    if isinstance(content, list):
        parts = objects_in(delta["content"])
        thoughts = "".join(text_of(part.get("thinking")) for part in parts)
        if thoughts:
            delta["reasoning_content"] = delta.get("reasoning_content") or thoughts
            delta["content"] = text_of(delta["content"])
    elif isinstance(content, int | float) and not isinstance(content, bool):
        delta["content"] = str(content)
