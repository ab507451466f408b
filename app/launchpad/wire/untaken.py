"""`Untaken`: ends a run whose client takes nothing, where the response does not mind that."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable

from launchpad.timer import Timer

__all__ = ["Untaken"]

logger = logging.getLogger("launchpad.run")


class Untaken:
    """Looks at how long ago bytes were given that nobody has come back from taking.

    One timer a stream, set anew when it fires too early. `name` is the stream's in the log,
    `seconds` the limit, `end` ends the stream.
    """

    def __init__(
        self, name: str, seconds: float, end: weakref.WeakMethod[Callable[[], None]]
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._end = end
        self._given_at: float | None = None
        self._timer: Timer | None = None

    def gave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bytes were given just now."""
        self._given_at = loop.time()
        if self._timer is None:
            self._look_in(loop, self._seconds)

    def taken(self) -> None:
        """Whoever got them asks for the next."""
        self._given_at = None

    def stop(self) -> None:
        """No more looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the run where it has been too long; else look again when it may be."""
        limit = self._seconds
        waited = 0.0 if self._given_at is None else loop.time() - self._given_at
        if waited < limit:
            self._look_in(loop, limit - waited)
            return
        logger.warning("%s: ended, its client took nothing for %g s", self._name, limit)
        self._timer = None
        if (end := self._end()) is not None:
            end()

    def _look_in(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        # Held weakly: a stream that is dropped unread must not live on in its own timer.
        alive: weakref.ref[Untaken] = weakref.ref(self)
        self._timer = Timer(loop, seconds, _look, alive, loop)


def _look(untaken: weakref.ref[Untaken], loop: asyncio.AbstractEventLoop) -> None:
    alive = untaken()
    if alive is not None:
        alive.look(loop)
