"""The safe prefix: text that only grows, kept so that adding to it costs what is added."""

from __future__ import annotations

from typing import Final

__all__ = ["MANY_PIECES", "SafePrefix"]

MANY_PIECES: Final = 1024
_MANY_BLOCKS: Final = 16


class SafePrefix:
    """Pieces become blocks, and the smaller blocks one: neither list grows long.

    `pieces` takes new text (`append`); whoever appends calls `settle` when there are `MANY_PIECES`.
    """

    __slots__ = ("_blocks", "_escapes", "_size", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._blocks: list[str] = []
        self._size = 0
        self._escapes = 0

    def settle(self) -> None:
        """Fold the pieces into a block."""
        if self.pieces:
            self._fold()

    def text(self, tail: str) -> str:
        """All of it with `tail` after it, in one copy; empty if nothing was ever added."""
        if self.pieces:
            self._fold()
        return "".join((*self._blocks, tail)) if self._blocks else ""

    def sized(self, tail: str) -> tuple[str, int, int]:
        """As `text`, and of what is before `tail`: its UTF-8 bytes, and its escapes.

        Escapes are the bytes it has more as the inside of a JSON string.
        """
        if self.pieces:
            self._fold()
        return "".join((*self._blocks, tail)), self._size, self._escapes

    def _fold(self) -> None:
        block = "".join(self.pieces)
        self.pieces.clear()
        self._blocks.append(block)
        if len(self._blocks) > _MANY_BLOCKS:
            self._merge()
        self._size += len(block)
        self._escapes += block.count('"') + block.count("\\")
        if not block.isascii():
            self._size += len(block.encode()) - len(block)
            # What some clients take for line ends leaves as an escape of six characters.
            self._escapes += 4 * block.count("\x85")
            self._escapes += 3 * (block.count("\u2028") + block.count("\u2029"))

    def _merge(self) -> None:
        # Only those that are not larger than all after them: a character is copied again only
        # when the text behind it has doubled.
        blocks = self._blocks
        first = len(blocks) // 2
        size = sum(map(len, blocks[first:]))
        while first and len(blocks[first - 1]) <= size:
            first -= 1
            size += len(blocks[first])
        blocks[first:] = ["".join(blocks[first:])]
