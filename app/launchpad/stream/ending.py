"""Which exceptions end a run from outside, and which are a failure of what runs in it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any

from launchpad.stream.mailbox import Mailbox

__all__ = ["CLEAN_UP", "is_end", "is_interrupt"]

CLEAN_UP = "launchpad:clean-up"
"""What tasks are called that clean up, whatever happens to the run that they clean up after."""


def is_end(
    error: BaseException, mailbox: Mailbox | None, group: asyncio.Task[Any] | None = None
) -> bool:
    """Whether `error`, which was raised in the current task, ends its run from outside.

    A cancellation does where somebody asked for it: who reads `mailbox` (or, without one, whoever
    has cancelled the task), the task that runs this one in its `group`, or the end of the loop. A
    node may cancel its own task, as old helpers for timeouts do, or await what others have
    cancelled: that is its failure. So is a `KeyboardInterrupt` that is no Ctrl-C.
    """
    if isinstance(error, KeyboardInterrupt):
        return is_interrupt(error)
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    if group is not None:
        return group.cancelling() > 0
    return mailbox is None or mailbox.is_over() or _loop_ends(task)


def is_interrupt(error: BaseException) -> bool:
    """Whether `error` is what Ctrl-C makes, rather than what somebody's code raised.

    Signals reach the main thread alone, where Python's own handler may raise it anywhere. Any other
    handler that raises it is in its traceback: asyncio's does at the second Ctrl-C.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    handler: Any = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        return True
    handler = getattr(handler, "func", handler)  # asyncio's is a partial
    code = getattr(handler, "__code__", None)
    return code is not None and code in _codes(error)


def _codes(error: BaseException) -> Iterator[CodeType]:
    """The code that each frame of the error's traceback ran."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code
        trace = trace.tb_next


def _loop_ends(task: asyncio.Task[Any]) -> bool:
    """Whether all that runs on the loop was cancelled, as `asyncio.run` does in the end."""
    return all(
        other.cancelling()
        for other in asyncio.all_tasks()
        # A clean-up may have begun since.
        if other is not task and other.get_name() != CLEAN_UP
    )
