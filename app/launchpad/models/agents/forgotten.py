"""Tasks that pydantic-ai forgets where an agent's run is cancelled in its first turns.

`Agent.iter` starts a task that waits for the run's end (`_run_lifecycle_hooks`, local `_wrap`), and
each of its requests one that holds the model's answer open (`_stream`, local `wrap`). A
cancellation that arrives while either clears away another task beside it (seen with 2.62 to 2.68:
one in some fifty clients that leave in that instant) leaves its task waiting for ever, and with it
the run's messages in memory.
"""

from __future__ import annotations

import asyncio
from traceback import walk_tb

__all__ = ["end_forgotten_task"]

_HOLDERS = {"_run_lifecycle_hooks": "_wrap", "_stream": "wrap"}


def end_forgotten_task(cancellation: BaseException) -> None:
    """Cancel the tasks that the cancelled run in `cancellation`'s traceback has left, if it has."""
    for frame, _ in walk_tb(cancellation.__traceback__):
        holder = _HOLDERS.get(frame.f_code.co_name)
        if holder is None:
            continue
        task = getattr(frame.f_locals.get(holder), "task", None)
        if isinstance(task, asyncio.Task):
            done = frame.f_locals.get("stream_done")
            if isinstance(done, asyncio.Event):
                # As pydantic-ai does where it remembers: the answer is not waited for then.
                done.set()
            task.cancel()
