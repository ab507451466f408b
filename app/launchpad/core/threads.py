"""`in_thread`: a user's function that may block, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")

LIMIT = 256
"""Threads at once; more calls wait. Only as many are started as there is work for."""
IDLE = 30.0
"""Seconds after which a thread without work ends."""
QUIET = 60.0
"""Seconds between two lines that say that all threads are busy."""

logger = logging.getLogger("launchpad.run")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """As `asyncio.to_thread`, but for its pool.

    That one has six threads on two cores, which name lookups and the start of the local model
    share; and the end of the process waits for whatever goes on in them. These are daemons: a
    function that never returns holds up neither.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def work() -> None:
        if future.done():
            return  # its run has gone while it waited for a thread
        try:
            result = context.run(function, *args)
        except BaseException as error:  # noqa: BLE001  (raised again where it is awaited)
            tell(_fail, error)
        else:
            tell(_resolve, result)

    def tell(how: Callable[[asyncio.Future[T], Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(how, future, what)

    _pool.submit(work)
    try:
        return await future
    except asyncio.CancelledError:
        _pool.forget(work)
        raise


def _resolve(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration | KeyboardInterrupt):
        # No future takes the one, and Ctrl-C reaches the main thread alone: it cannot be the other.
        cause = error
        error = RuntimeError(f"a function run in a thread raised {type(error).__name__}")
        error.__cause__ = cause
    future.set_exception(error)


class _Pool:
    """Daemon threads, started when there is none to spare."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0
        self._quiet_until = 0.0

    def submit(self, work: Callable[[], None]) -> None:
        """Have a thread do `work`, once one is free."""
        if not self._add(work) and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET
            logger.warning(
                "all %d threads for plain functions are busy: further nodes with a process method "
                "without async wait for one. A function that does not return keeps its thread, "
                "also when its run has ended: give what it waits for a timeout, or make it async.",
                self._threads,
            )

    def _add(self, work: Callable[[], None]) -> bool:
        """Whether there is a thread for it. Raises `RuntimeError` where there will be none."""
        with self._changed:
            self._work.append(work)
            if self._idle >= len(self._work):
                self._changed.notify()
                return True
            return self._threads < LIMIT and self._start()

    def _start(self) -> bool:
        """Whether another thread was started. The system may have none, and then those there do."""
        try:
            threading.Thread(target=self._run, name="launchpad-node", daemon=True).start()
        except RuntimeError:
            if self._threads:
                return False
            self._work.pop()
            raise
        self._threads += 1
        return True

    def forget(self, work: Callable[[], None]) -> None:
        """Take `work` out again, if no thread has it yet."""
        with self._changed, suppress(ValueError):
            self._work.remove(work)

    def _run(self) -> None:
        while (work := self._take()) is not None:
            work()
            del work  # it holds what the run had

    def _take(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._work, IDLE)
            self._idle -= 1
            if self._work:
                return self._work.popleft()
            self._threads -= 1
            return None


_pool = _Pool()
