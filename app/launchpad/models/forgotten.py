"""A task that pydantic-ai forgets where an agent's run is cancelled in its first turns.

`Agent.iter` starts a task that waits for the run's end (`_run_lifecycle_hooks`, local `_wrap`). A
cancellation that arrives while it clears away another one beside it (seen with 2.62 to 2.64: one
in some fifty clients that leave in that instant) leaves this task waiting for ever, and with it
the run's messages in memory.
"""

from __future__ import annotations

import asyncio
from traceback import walk_tb

__all__ = ["end_forgotten_task"]


def end_forgotten_task(cancellation: BaseException) -> None:
    """Cancel the task that the cancelled run in `cancellation`'s traceback has left, if it has."""
    for frame, _ in walk_tb(cancellation.__traceback__):
        if frame.f_code.co_name == "_run_lifecycle_hooks":
            task = getattr(frame.f_locals.get("_wrap"), "task", None)
            if isinstance(task, asyncio.Task):
                task.cancel()
