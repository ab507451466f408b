"""`OpenGenerators`: the async generators that begin within a block, so that none stays open.

A generator that is left at a `yield` holds what it has open, an HTTP response for instance. Closing
the outermost one of a pipeline does not close those inside it; Python leaves them to the garbage
collector, and a reference cycle (any traceback that somebody keeps) makes that late.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any
from weakref import WeakValueDictionary

__all__ = ["OpenGenerators"]

_noting: ContextVar[OpenGenerators | None] = ContextVar("launchpad_open_generators", default=None)


class OpenGenerators:
    """Notes the generators that begin inside `with` blocks of it, and in tasks made there.

    It uses PEP 525's hooks, behind the event loop's own. Belongs to one task.
    """

    def __init__(self) -> None:
        self._begun: WeakValueDictionary[int, AsyncGenerator[Any, Any]] = WeakValueDictionary()
        self._count = 0
        self._token: Token[OpenGenerators | None] | None = None
        _hook()

    def __enter__(self) -> None:
        self._token = _noting.set(self)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _noting.reset(self._token)

    def note(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Remember `generator` for as long as it lives."""
        self._begun[self._count] = generator
        self._count += 1

    async def aclose(self) -> None:
        """Close those that are open, the innermost first."""
        for generator in reversed(list(self._begun.values())):
            # One that cannot be closed (it is closing already, or ignores it) is no reason to keep
            # the others open.
            with suppress(Exception):
                await generator.aclose()


def _hook() -> None:
    """Hear of each generator that begins on this thread, until its event loop stops."""
    before = sys.get_asyncgen_hooks().firstiter
    if getattr(before, "notes_generators", False):
        return

    def begins(generator: AsyncGenerator[Any, Any]) -> None:
        noting = _noting.get()
        if noting is not None:
            noting.note(generator)
        if before is not None:
            before(generator)

    begins.notes_generators = True  # type: ignore[attr-defined]
    sys.set_asyncgen_hooks(firstiter=begins)
