"""`Admission`: how many runs go on at once, and who waits for a place."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from launchpad.errors import LaunchpadError, OverloadedError

__all__ = ["Admission", "Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Places for runs: in all, per API key (None: no limit of its own), and in the queue.

    A key may have as many runs waiting as it may have running. `queue_timeout` is in seconds.
    """

    runs: int
    runs_per_key: int | None
    queued: int
    queue_timeout: float


class _Waiting:
    """A run in the queue."""

    __slots__ = ("key", "place")

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.place: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Admission:
    """Gives places to runs on one event loop, first come, first served.

    A run that finds no place waits in a bounded queue; one whose key has used up its places is
    passed over there, and holds up nobody else. Over the queue's length or time it gets
    `OverloadedError` with `Retry-After`: 429 where it is its own key's limit, 503 where the
    server is full.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._by_key: Counter[str] = Counter()
        self._queue: list[_Waiting] = []
        self._refusal: Callable[[], LaunchpadError] | None = None
        self._emptied: asyncio.Event | None = None
        """Set at the end of the last run, where somebody waits for that."""

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
        if self._refusal is not None:
            raise self._refusal()
        if self._limits.runs_per_key is None:
            key = None
        # Who waits although there are places, waits for its own key's: nobody is overtaken.
        if self._has_place(key):
            self._take(key)
        else:
            await self._wait(key)

    def leave(self, key: str | None = None) -> None:
        """Give the place back; who waits longest for such a one gets it."""
        if key is not None and self._limits.runs_per_key is not None:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
        self._taken -= 1
        for waiting in self._queue:
            if not waiting.place.done() and self._has_place(waiting.key):
                self._queue.remove(waiting)
                self._take(waiting.key)
                waiting.place.set_result(None)
                break
        if not self._taken and self._emptied is not None:
            self._emptied.set()
            self._emptied = None

    def close(self, refusal: Callable[[], LaunchpadError]) -> None:
        """Give no more places: who waits, and who comes, gets an error that `refusal` makes."""
        # One for each: an exception keeps the frames of all who have raised it.
        self._refusal = refusal
        queue, self._queue = self._queue, []
        for waiting in queue:
            if not waiting.place.done():
                waiting.place.set_exception(refusal())

    async def wait_idle(self) -> None:
        """Return when no place is taken."""
        while self._taken:
            if self._emptied is None:
                self._emptied = asyncio.Event()
            await self._emptied.wait()

    def _has_place(self, key: str | None) -> bool:
        limits = self._limits
        if self._taken >= limits.runs:
            return False
        return key is None or limits.runs_per_key is None or self._by_key[key] < limits.runs_per_key

    def _take(self, key: str | None) -> None:
        self._taken += 1
        if key is not None:
            self._by_key[key] += 1

    async def _wait(self, key: str | None) -> None:
        limits = self._limits
        of_this_key = sum(key is not None and one.key == key for one in self._queue)
        if len(self._queue) >= limits.queued or of_this_key >= (limits.runs_per_key or 1):
            raise self._full(key)
        waiting = _Waiting(key)
        self._queue.append(waiting)
        try:
            async with asyncio.timeout(limits.queue_timeout):
                await waiting.place
        except BaseException as error:
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif not waiting.place.cancelled() and waiting.place.exception() is None:
                # It was given to us in the same instant.
                self.leave(key)
            if isinstance(error, TimeoutError):
                raise self._full(key) from None
            raise

    def _full(self, key: str | None) -> OverloadedError:
        limits = self._limits
        patience = max(1.0, limits.queue_timeout / 2)
        if key is not None and self._by_key[key] >= (limits.runs_per_key or 0):
            return OverloadedError(
                f"This API key has {limits.runs_per_key} runs going on, which is its limit. "
                "Wait for one to end.",
                retry_after=patience,
            )
        return OverloadedError(
            f"The server has {limits.runs} runs going on and cannot take another now. "
            "Try again shortly.",
            retry_after=patience,
            status=503,
        )
