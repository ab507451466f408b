"""What belongs to one event loop and must be closed with it: HTTP sessions, models, agents.

A connection lives on the loop that opened it, so each loop has its own. They close at
`aclose_clients()` (the server's lifespan) or, without one, when the loop shuts its async
generators down, which `asyncio.run` and uvicorn do before they close the loop: each scope starts
one generator on its loop whose `finally` closes the scope.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

Built = TypeVar("Built")
Closer = Callable[[], Awaitable[object]]

_log = logging.getLogger("launchpad.models")
_scopes: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopScope] = WeakKeyDictionary()


class LoopScope:
    """A loop's own things: `kept` by name, and how to close what needs closing."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self._closers: dict[object, Closer] = {}
        self._owners: dict[object, ref[Any]] = {}
        # Not held: a loop that is known by its scope would never go.
        self._loop = ref(asyncio.get_running_loop())
        self._closing: set[asyncio.Task[None]] = set()
        self._guard = self._close_at_end()
        # Runs it to its yield. The first step of a generator is what registers it with the loop.
        with suppress(StopIteration):
            self._guard.__anext__().send(None)

    def memo(self, name: str) -> Memo[Any]:
        """The `Memo` that is kept under `name`, made on first use."""
        if name not in self.kept:
            self.kept[name] = Memo[Any]()
        found: Memo[Any] = self.kept[name]
        return found

    def at_close(self, closer: Closer) -> None:
        """Call `closer` when this loop's things are closed; the last one first."""
        self._closers[object()] = closer

    def at_end_of(self, owner: object, closer: Closer) -> None:
        """Call `closer` once nobody holds `owner` any more, and at the latest as `at_close` does.

        `closer` must not hold it either.
        """
        place = object()
        self._owners[place] = ref(owner, lambda _: self._close_soon(place))
        self._closers[place] = closer

    def _close_soon(self, place: object) -> None:
        """The garbage collector may come by in any thread, and in the midst of anything."""
        loop = self._loop()
        # What belonged to a closed loop was closed with it.
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._begin_closing, place, context=Context())

    def _begin_closing(self, place: object) -> None:
        if place in self._closers:
            task = asyncio.create_task(self._close(place), name="launchpad:close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close(self, place: object) -> None:
        """One that fails is logged; one that is cancelled is left for the end of the loop."""
        self._owners.pop(place, None)
        closer = self._closers.pop(place, None)
        if closer is None:
            return
        try:
            await closer()
        except asyncio.CancelledError:
            self._closers[place] = closer
            raise
        except Exception:  # noqa: BLE001  # whatever it is, the others must close
            _log.exception("A model client did not close.")

    async def aclose(self) -> None:
        """Close everything. A closer that fails is logged and does not keep the others open."""
        await self._guard.aclose()

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            # What is kept holds what is to be closed; who comes meanwhile gets things of his own.
            kept, self.kept = self.kept, {}
            while self._closers:
                await self._close(next(reversed(self._closers)))
            if self._closing:
                await asyncio.wait(self._closing)
            kept.clear()
            # The generator's hooks hold the loop, which is only gone when the scope is.
            if (loop := self._loop()) is not None and _scopes.get(loop) is self:
                del _scopes[loop]


def loop_scope() -> LoopScope:
    """The running loop's scope, made on first use. Raises `RuntimeError` outside a loop."""
    loop = asyncio.get_running_loop()
    scope = _scopes.get(loop)
    if scope is None:
        scope = _scopes[loop] = LoopScope()
    return scope


async def aclose_clients() -> None:
    """Close the running loop's model clients. Models used after this open new ones."""
    scope = _scopes.pop(asyncio.get_running_loop(), None)
    if scope is not None:
        await scope.aclose()


class Memo(Generic[Built]):
    """The latest things built, by a key that is compared where it cannot be hashed."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._by_hash: dict[object, Built] = {}
        self._others: list[tuple[object, Built]] = []

    def get(self, key: object, build: Callable[[], Built]) -> Built:
        """What was built for an equal key, or `build()`."""
        try:
            found = self._by_hash.get(key)
        except TypeError:
            return self._get_unhashable(key, build)
        if found is None:
            found = self._by_hash[key] = build()
            if len(self._by_hash) > self._size:
                del self._by_hash[next(iter(self._by_hash))]
        return found

    def find(self, key: object) -> Built | None:
        """What was built for an equal key; None where nothing was."""
        try:
            return self._by_hash.get(key)
        except TypeError:
            return next((found for known, found in self._others if known == key), None)

    def _get_unhashable(self, key: object, build: Callable[[], Built]) -> Built:
        for known, found in self._others:
            if known == key:
                return found
        found = build()
        self._others.append((key, found))
        del self._others[: -self._size]
        return found
