"""How often a growing snapshot may be sent: all bytes together stay under 20 times the document."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["SnapshotPacer"]

FACTOR: Final = 20
FLOOR: Final = 16 * 1024
FRAME_BYTES: Final = 256

# The last snapshot always leaves, and the finish chunk repeats it.
_RESERVED_SENDS: Final = 2


class SnapshotPacer:
    """Says whether a snapshot may leave now or waits until the document has grown. One a document.

    For a document that ends above `floor` bytes, everything that is sent stays under `factor`
    times its bytes, with the last snapshot and its repetition, which are always sent (they are
    held in reserve). What may have been spent when the document has `size` bytes is

        factor * floor * cbrt(size / floor)    up to `floor`
        factor * size                          from there on

    Each delta of a short document leaves (up to some 700 bytes at four a delta); then the steps
    widen, from 3 % of the document at 1 KiB to 15 % near 16 KiB, and are 5 % above. A document that
    ends below `floor` could afford more, but nobody knows beforehand where it will end.

    `frame` is what the wire adds to each snapshot, in bytes.
    """

    __slots__ = ("_factor", "_floor", "_frame", "spent")

    def __init__(
        self, *, factor: int = FACTOR, floor: int = FLOOR, frame: int = FRAME_BYTES
    ) -> None:
        self._factor = factor
        self._floor = floor
        self._frame = frame
        self.spent = 0
        """Bytes counted so far."""

    def wait(self, size: int, cost: int) -> float:
        """By how many bytes a snapshot must grow, at least, before it may leave; 0 is now.

        `size` is its bytes, `cost` what it takes on the wire (escaped).
        """
        share = size / self._floor
        root = math.cbrt(share)
        budget = self._factor * self._floor * (share if share >= 1 else root)
        missing = self.spent + (1 + _RESERVED_SENDS) * (cost + self._frame) - budget
        if missing < 0:
            return 0
        # The budget's slope falls until `floor` and is `factor` from there.
        steepest = self._factor * (max(root / (3 * share), 1) if share < 1 else 1)
        return max(missing / steepest, 1)

    def sent(self, cost: int) -> None:
        """Count a snapshot that left, allowed or not (the last one always leaves)."""
        self.spent += cost + self._frame
