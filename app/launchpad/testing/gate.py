"""A door between a test and a server: the server waits at it until the test opens it.

With gates a test states an order ("the first token was read before the second was made") and
needs no clock.
"""

from __future__ import annotations

import asyncio
import threading

__all__ = ["Gate"]


class Gate:
    """Closed until `open()` is called, from any thread; then open for good.

    gate = Gate()
    upstream.script(Chunk("one"), WaitFor(gate), Chunk("two"))
    ...                      # read "one" from the stream
    gate.wait_reached()      # the upstream stands at the gate: "two" does not exist yet
    gate.open()
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = False
        self._reached = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def is_open(self) -> bool:
        """Whether `open()` was called."""
        return self._open

    @property
    def reached(self) -> int:
        """How many times somebody has arrived here, whether or not the gate was open."""
        return self._reached

    def open(self) -> None:
        """Let everyone through, now and later."""
        with self._changed:
            self._open = True
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def wait_reached(self, count: int = 1, *, timeout: float = 10.0) -> None:
        """Block until `count` arrivals. Raises `TimeoutError` after `timeout` seconds.

        In async code: `await asyncio.to_thread(gate.wait_reached)`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._reached >= count, timeout):
                raise TimeoutError(f"{self._reached} of {count} arrived within {timeout} s")

    async def wait(self) -> None:
        """Stand at the gate until it is open."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        with self._changed:
            self._reached += 1
            self._changed.notify_all()
            if self._open:
                return
            self._waiting.add(entry)
        try:
            await event.wait()
        finally:
            with self._changed:
                self._waiting.discard(entry)
