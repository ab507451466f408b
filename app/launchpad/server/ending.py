"""The process's end at a set time, whatever still runs in it.

A node may swallow its cancellation, block the event loop, or leave a thread that never returns;
Python's own end waits for each of them without limit.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import sys
import time
from typing import Any

__all__ = ["HURRY", "OVERTIME", "end_within"]

OVERTIME = 15.0
"""Seconds beyond the grace that a server's end may take."""
HURRY = 5.0
"""Seconds that it may take after a second signal."""
BEGIN = 1.0
"""Seconds that the thread may take to begin."""
LAST_LINE = 1.0
"""Seconds for the log's last line: who blocks the process may hold the log's lock."""

logger = logging.getLogger("launchpad.server")


def end_within(seconds: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """End this process with code 0 after `seconds`, unless it has ended by then.

    Cannot be taken back. What still runs on `loop` is named in the log. May be called in a signal
    handler: a `threading.Thread` would wait there for locks that the interrupted code may hold.
    """
    begun = _thread.allocate_lock()
    begun.acquire()

    def end() -> None:
        begun.release()
        _end(seconds, loop)

    _thread.start_new_thread(end, ())
    # A thread whose first step falls into the interpreter's end crashes it.
    begun.acquire(timeout=BEGIN)


def _end(seconds: float, loop: asyncio.AbstractEventLoop | None) -> None:
    time.sleep(seconds)
    _thread.start_new_thread(_exit, (LAST_LINE,))
    logger.warning("the process is ended although work goes on: %s", _work(loop))
    logging.shutdown()
    sys.stdout.flush()
    _exit(0)


def _exit(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(0)


def _work(loop: asyncio.AbstractEventLoop | None) -> str:
    """The tasks that do not end, or what else it may be."""
    try:
        tasks: set[asyncio.Task[Any]] = asyncio.all_tasks(loop) if loop is not None else set()
    except RuntimeError:  # they change while they are counted
        tasks = set()
    names = sorted(f"{task.get_name()} ({_function(task)})" for task in tasks)
    return ", ".join(names[:10]) or "a thread, or the program's own clean-up"


def _function(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")
