"""Whether a request's text had chat-template tokens in it, which pydantic-ai breaks.

It puts a zero-width joiner into each (`<|im_start|>`), so that no server takes a user's words for a
turn of the conversation, and takes the joiners that the model copies out of its own events again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

_JOINER = "\u200d"
_BROKEN = re.compile(rf"[<\[\]]{_JOINER}")


def broke_tokens(body: Mapping[str, Any] | None) -> bool:
    """Whether the messages of a request's `body` have broken tokens, or look as if they had."""
    waiting: list[object] = [(body or {}).get("messages")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            # The first test costs nothing for nearly every text.
            if _JOINER in value and _BROKEN.search(value):
                return True
        elif isinstance(value, dict):
            waiting += cast("dict[str, object]", value).values()
        elif isinstance(value, list):
            waiting += cast("list[object]", value)
    return False
