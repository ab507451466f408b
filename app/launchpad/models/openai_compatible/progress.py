"""What an item of an answer does for it: whether it moves it on, and whether it is part of it."""

from __future__ import annotations

from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

__all__ = ["answers", "moves_on"]


def moves_on(item: Item) -> bool:
    """Whether an item is more than a role or an empty text."""
    return isinstance(item, str) or _carries(item)


def answers(item: Item) -> bool:
    """Whether an item is part of the answer itself: not its token counts."""
    return isinstance(item, str) or (bool(item["choices"]) and _carries(item))


def _carries(chunk: Chunk) -> bool:
    """Whether a chunk has more than a role or an empty text.

    Fields that nobody here knows count. Some servers give a model's reasoning under a name of
    their own, which may go on for longer than a stall; what never ends has the run's time.
    """
    if not chunk["choices"]:
        return bool(chunk.get("usage"))
    choice = chunk["choices"][0]
    delta = as_object(choice.get("delta"))
    return bool(choice.get("finish_reason")) or any(
        value for name, value in delta.items() if name != "role"
    )
