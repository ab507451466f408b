"""`BegunGenerators`: which async generators a loop has to close at its end, kept cheaply."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from typing import Any
from weakref import ref

__all__ = ["BegunGenerators"]

_SWEEP = 1024
"""Generators that may be remembered beyond their end before those are forgotten."""


class BegunGenerators:
    """Remembers the generators that begin, in the loop's place, and tells it of them at its end.

    A loop closes the generators that are left open when it ends (PEP 525), so it notes each one
    that begins and is called at the end of each, twice some 45 times in one agent's run. Here an
    end costs nothing.
    """

    def __init__(self) -> None:
        self._loops: Callable[[AsyncGenerator[Any, Any]], None] | None = None
        self._begun: list[ref[AsyncGenerator[Any, Any]]] = []
        self._most = _SWEEP

    def begin(self) -> None:
        """Take the running loop's place. Called on its thread."""
        self._loops = sys.get_asyncgen_hooks().firstiter
        if self._loops is not None:
            sys.set_asyncgen_hooks(firstiter=self._note)

    def end(self) -> None:
        """Tell the loop of the generators that are open; it hears of the next ones itself."""
        if self._loops is None:
            return
        if sys.get_asyncgen_hooks().firstiter == self._note:
            sys.set_asyncgen_hooks(firstiter=self._loops)
        # Somebody else's hook may stand before this one and go on calling it.
        self._most = 0
        self._sweep()

    # A collection may run anywhere in these two, and with it code that begins another generator.

    def _note(self, generator: AsyncGenerator[Any, Any]) -> None:
        begun = ref(generator)
        self._begun.append(begun)
        if len(self._begun) > self._most:
            self._sweep()

    def _sweep(self) -> None:
        looked_at, self._begun = self._begun, []
        living = [kept for kept in looked_at if kept() is not None]
        if self._most:
            self._begun.extend(living)
            self._most = max(_SWEEP, 2 * len(self._begun))
            return
        for kept in living:
            generator = kept()
            if generator is not None and self._loops is not None:
                self._loops(generator)
