"""What an application that serves workflows does at its start and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from launchpad.memory import settle
from launchpad.models import aclose_clients
from launchpad.observe import tracing
from launchpad.observe.blocking import BlockingWatchdog
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings, use_settings
from launchpad.workflows.catalog import Catalog
from launchpad.workflows.warm_up import warm_up

__all__ = ["Lifespan", "lifespan_of"]

TRACE_FLUSH = 5.0
"""Seconds that a shutdown waits for traces to leave."""

Lifespan = Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]


def lifespan_of(
    catalog: Catalog, runs: Runs, settings: Settings, *, state: str, is_guest: bool = False
) -> Lifespan:
    """The lifespan of what serves `catalog`, for FastAPI's argument of this name.

    It leaves `runs` in the ASGI state as `state`: our protocol ends the runs before the server
    waits for its connections. A guest in another's app leaves the garbage collector alone.
    """

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[dict[str, Any]]:
        tracing.prepare()
        runs.open()
        use_settings(settings)
        warming = await warm_up(catalog.served)
        watchdog = BlockingWatchdog(asyncio.get_running_loop(), settings.block_warning)
        watchdog.start()
        if not is_guest:
            settle()
        try:
            yield {state: runs}
        finally:
            if warming is not None:
                warming.cancel()
            await runs.shut_down(0)
            await aclose_clients()
            watchdog.stop()
            await asyncio.to_thread(tracing.shutdown, TRACE_FLUSH)
            # Who asks the app after its end, as tests do without its lifespan, is no late client.
            runs.open()

    return lifespan
