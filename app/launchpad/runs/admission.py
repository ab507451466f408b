"""`Admission`: how many runs go on at once, and who waits for a place."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from launchpad.errors import OverloadedError

__all__ = ["Admission", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Places for runs: in all, per API key (None: no limit of its own), and in the queue.

    `queue_timeout` is in seconds.
    """

    runs: int
    runs_per_key: int | None
    queued: int
    queue_timeout: float


class Admission:
    """Gives places to runs, first come, first served, on one event loop.

    A run that finds no place waits in a bounded queue. Over the queue's length or time it gets
    `OverloadedError` with `Retry-After`: 429 where its own key has used up its places, 503 where
    the server is full.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._by_key: Counter[str] = Counter()
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Places taken."""
        return self._taken

    @property
    def queued(self) -> int:
        """Runs that wait."""
        return len(self._queue)

    async def enter(self, key: str | None = None) -> None:
        """Take a place, waiting for one if need be. Raises `OverloadedError`."""
        limits = self._limits
        if key is not None and limits.runs_per_key is not None:
            if self._by_key[key] >= limits.runs_per_key:
                raise OverloadedError(
                    f"This API key has {limits.runs_per_key} runs going on, which is its limit. "
                    "Wait for one to end.",
                    retry_after=1.0,
                )
            self._by_key[key] += 1
        try:
            if self._taken >= limits.runs or self._queue:
                await self._wait()
            else:
                self._taken += 1
                self._idle.clear()
        except BaseException:
            self._forget(key)
            raise

    def leave(self, key: str | None = None) -> None:
        """Give the place back; who waits longest gets it."""
        self._forget(key)
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                # The place changes hands, so the count of those taken stays.
                waiting.set_result(None)
                return
        self._taken -= 1
        if not self._taken:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Return when no place is taken."""
        await self._idle.wait()

    def _forget(self, key: str | None) -> None:
        if key is not None and self._limits.runs_per_key is not None:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]

    async def _wait(self) -> None:
        limits = self._limits
        if len(self._queue) >= limits.queued:
            raise self._full()
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(limits.queue_timeout):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                # It was given to us in the same instant.
                self.leave()
            elif place in self._queue:
                self._queue.remove(place)
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise

    def _full(self) -> OverloadedError:
        return OverloadedError(
            f"The server has {self._limits.runs} runs going on and cannot take another now. "
            "Try again shortly.",
            retry_after=max(1.0, self._limits.queue_timeout / 2),
            status=503,
        )
