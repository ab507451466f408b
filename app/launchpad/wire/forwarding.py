"""`Forwarding`: words that are written by whoever says them, as they are said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from launchpad.events import JsonDelta, ReasoningDelta, RunEvent, TextDelta
from launchpad.stream.run_stream import EventStream

__all__ = ["Forwarding"]

_ALONE = 0.002
"""Seconds of silence after which a token has come alone. More than the loops' clocks' grain."""
_IN_A_ROW = 16
"""Tokens that leave so before one waits for the loop's next turn: a node that computes and never
waits would fill no mailbox, and keep the loop from everybody else."""

# What a token is. Other events come in company: a node's end with the run's, and that with the
# body's, which is to leave with the last bytes.
_WORDS = frozenset({TextDelta, JsonDelta, ReasoningDelta})


Say = Callable[[RunEvent], bool | None]
"""Writes one event. False: no more for now. None: not by itself."""


class Forwarding:
    """Calls `say` or `step` whenever `stream` has something, until one returns False.

    `say` for a token that comes alone, in place of leaving it in the mailbox; `step` for those that
    come together, and for what tells nobody anything by itself, once at the loop's next turn.
    `last` is when something was last written, on the loop's clock.
    """

    def __init__(
        self,
        stream: EventStream,
        step: Callable[[], bool],
        say: Say,
        loop: asyncio.AbstractEventLoop,
        last: float,
    ) -> None:
        self._stream = stream
        self._step = step
        self._say = say
        self._loop = loop
        self._last = last
        self._done: asyncio.Future[None] = loop.create_future()
        self._scheduled = False
        self._in_a_row = 0

    async def run(self) -> None:
        """Return once one of both has returned False, or the run ends. Raises what they raise."""
        self._stream.on_arrival(self._arrived, self._takes)
        try:
            self._pass_on()
            await self._done
        finally:
            self._stream.on_arrival(None)

    def _takes(self, event: RunEvent) -> bool:
        """Write `event` where it is a token that comes alone; whether it was."""
        if self._scheduled or event.__class__ not in _WORDS or self._in_a_row >= _IN_A_ROW:
            return False
        now = self._loop.time()
        if now - self._last < _ALONE or self._done.done():
            return False
        try:
            goes_on = self._say(event)
        except Exception as error:  # noqa: BLE001 - as in `_pass_on`
            self._fail(error)
            return True
        if goes_on:
            self._last = now
            self._in_a_row += 1
            return True
        self._let_go()
        return goes_on is not None

    def _arrived(self, event: RunEvent | None) -> None:
        if event is None and self._stream.ending:
            self._let_go()
        elif not self._scheduled:
            self._in_a_row = 0
            self._scheduled = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._scheduled = False
        if self._done.done():
            return
        try:
            goes_on = self._step()
        except Exception as error:  # noqa: BLE001 - for whoever waits, not for who said something
            self._fail(error)
            return
        self._last = self._loop.time()
        if not goes_on:
            self._let_go()

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def _let_go(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
