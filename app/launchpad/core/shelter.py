"""`sheltered`: work that a cancellation of its caller does not cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def sheltered(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end; a cancellation that comes meanwhile counts once it is over.

    A second cancellation ends the work too, so that nothing can go on for ever. It runs in a
    task of its own. Raises what the work raises, unless its caller was cancelled.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            if cancelled is not None:
                task.cancel()
            cancelled = error
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled  # else the frame would hold itself
    task.result()
