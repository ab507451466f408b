"""The scripted model's tokens: short pieces of words that join to the text again."""

from __future__ import annotations

import random
import re

__all__ = ["count", "split", "words"]

PIECE = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
VOCABULARY = (
    *("river", "stone", "light", "window", "paper", "garden", "quiet", "morning", "letter"),
    *("copper", "bridge", "winter", "harbour", "candle", "silver", "meadow", "thunder"),
    *("anchor", "velvet", "lantern", "orchard", "whisper", "compass", "feather"),
)


def split(text: str) -> list[str]:
    """`text` in pieces; `"".join(split(text)) == text`."""
    return PIECE.findall(text)


def count(text: str) -> int:
    """How many pieces `text` has."""
    return len(PIECE.findall(text))


def words(number: int, *, seed: int | None = None) -> str:
    """`number` words with a space between, one token or two each; the same for the same seed."""
    source = random.Random(seed or 0)  # noqa: S311  # repeatable words, no secret
    return " ".join(source.choice(VOCABULARY) for _ in range(number))
