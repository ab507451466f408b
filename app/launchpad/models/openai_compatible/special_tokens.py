"""Whether a request's text had chat-template tokens in it, which pydantic-ai breaks.

It puts a zero-width joiner into each (`<|im_start|>`), so that no server takes a user's words for a
turn of the conversation, and takes the joiners that the model copies out of its own events again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from launchpad.models.private_names import private_name

_FIRST = re.compile(r"[<\[\]]")
"""What the tokens begin with."""
_JOINER = "\u200d"
_BROKEN = re.compile(rf"[<\[\]]{_JOINER}")
_break: Callable[[str], str] | None = private_name("_special_tokens", "break_special_tokens")


def may_have_token(text: str) -> bool:
    """Whether pydantic-ai breaks a token in `text`, or has broken one. In doubt, it may."""
    if _FIRST.search(text) is None:
        return False
    return _break is None or _is_broken(text) or _break(text) != text


def _is_broken(text: str) -> bool:
    """Whether a text has a broken token, or looks as if it had."""
    # The first test costs nothing for nearly every text.
    return _JOINER in text and _BROKEN.search(text) is not None


def broke_tokens(body: Mapping[str, Any] | None) -> bool:
    """Whether the messages of a request's `body` have broken tokens, or look as if they had."""
    waiting: list[object] = [(body or {}).get("messages")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if _is_broken(value):
                return True
        elif isinstance(value, dict):
            waiting += cast("dict[str, object]", value).values()
        elif isinstance(value, list):
            waiting += cast("list[object]", value)
    return False
