"""`Timer`: a timeout that does not take the loop's own standing still for somebody's silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Timer"]

LATE = 0.1
"""Seconds after its time from which a timer says that the loop stood still."""
MOST = 5.0
"""Seconds that are given back at most for that."""
TURNS = 4
"""Of the loop: its sockets are read in one, who waits for them goes on in the next."""


class Timer:
    """Calls `act` once, `seconds` from now and once what has come in that time was read.

    A loop that stood still, be it for a node that blocks it, a stopped process or a machine that
    was suspended, runs the timers that are due before it reads its sockets: everybody would seem
    to have been silent. So a timer that comes too late waits as long again as it was late: the
    other side may have to send again what nobody acknowledged. Nothing is given back twice.
    """

    __slots__ = ("_act", "_args", "_due", "_handle", "_loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        act: Callable[..., object],
        *args: Any,
    ) -> None:
        self._loop = loop
        self._act: Callable[..., object] | None = act
        self._args = args
        # Not the loop's own clock, which uvloop reads once a turn.
        self._due = time.monotonic() + seconds
        self._handle: asyncio.Handle | None = loop.call_later(seconds, self._fire)

    def cancel(self) -> None:
        """Do not call any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._act = None

    def _fire(self) -> None:
        late = time.monotonic() - self._due
        if late >= LATE:
            self._handle = self._loop.call_later(min(late, MOST), self._turn, TURNS)
        else:
            self._turn(TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._handle = self._loop.call_soon(self._turn, left - 1)
            return
        # No circle is left behind: the handle refers to this object, `act` often to its owner.
        act, self._handle, self._act = self._act, None, None
        if act is not None:
            act(*self._args)
