"""`sheltered`: work that a cancellation of its caller does not cut short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from launchpad.stream.ending import CLEAN_UP

PATIENCE = 10.0
"""Seconds that the work may go on once its caller was cancelled."""

logger = logging.getLogger("launchpad.run")


async def sheltered(work: Coroutine[Any, Any, None], *, name: str = "the work") -> None:
    """Await `work` to its end; a cancellation that comes meanwhile counts once it is over.

    So that nothing can go on for ever, a second cancellation ends the work too, and so does the
    end of `PATIENCE` after the first, with a line in the log that names it. It runs in a task of
    its own. Raises what the work raises, unless its caller was cancelled.
    """
    task = asyncio.get_running_loop().create_task(work, name=CLEAN_UP)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            done, _ = await asyncio.wait({task}, timeout=None if cancelled is None else PATIENCE)
            if not done:
                logger.warning(
                    "clean-up of %s still went on %g s after its run was ended, and was cancelled",
                    name,
                    PATIENCE,
                )
                task.cancel()
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
