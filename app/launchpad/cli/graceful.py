"""uvicorn's server with Launchpad's way to end: streams first, then connections, then the app."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import cast

import uvicorn

from launchpad.cli.protocol import LaunchpadProtocol
from launchpad.runs.in_process import RUNS_STATE, Runs

__all__ = ["GracefulServer"]

logger = logging.getLogger("launchpad.server")

LAST_WORDS = 5.0
"""Seconds that the error events of ended runs, and other short answers, may take to leave."""
TICK = 0.05


class GracefulServer(uvicorn.Server):
    """Serves until a signal, then drains.

    uvicorn tells the application of the shutdown after the last connection has closed, which
    open streams put off; and it raises the signal again in the end, so that the process does not
    exit with code 0. Here, at the first signal: accept no more, close idle connections, let the
    runs finish within `grace` seconds, end the rest with an error event, close what is left, stop
    the application. A second signal leaves out the waiting.

    Args:
        config: with `LaunchpadProtocol` as its protocol.
        grace: seconds; None for the application's own `shutdown_grace`.
        ready: called once requests are accepted.
        follows: a supervisor passes signals on; the terminal's own Ctrl-C is its business.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        grace: float | None = None,
        ready: Callable[[], None] | None = None,
        follows: bool = False,
    ) -> None:
        super().__init__(config)
        self._grace = grace
        self._ready = ready
        self._follows = follows

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn."""
        await super().startup(sockets)
        _settle_memory()
        if self.started and self._ready is not None:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server, a second one hurries."""
        del frame
        if self._follows and sig == signal.SIGINT:
            return
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn once the server is to end."""
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        runs = cast("Runs | None", self.lifespan.state.get(RUNS_STATE))
        if runs is not None:
            await self._drain(runs)
        await self._close_connections()
        await self.lifespan.shutdown()

    async def _drain(self, runs: Runs) -> None:
        grace = runs.settings.shutdown_grace if self._grace is None else self._grace
        if runs.active:
            logger.info("shutting down: %d runs go on, for up to %g s", runs.active, grace)
        draining = asyncio.get_running_loop().create_task(runs.shut_down(grace))
        # Idle connections close now; the others with the end of their response.
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=TICK)
        if not draining.done():
            await runs.shut_down(0)
        await draining

    async def _close_connections(self) -> None:
        """Let the last words leave; then nobody is waited for."""
        state = self.server_state
        deadline = time.monotonic() + LAST_WORDS
        # uvicorn tells nobody when one has closed.
        while (state.connections or state.tasks) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(TICK)
        for connection in list(state.connections):
            if isinstance(connection, LaunchpadProtocol):
                connection.abort()
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS)


def _settle_memory() -> None:
    """Leave what the start has made out of every later collection, and collect less often.

    pydantic-ai alone makes some 300,000 objects that live as long as the process. Looking through
    them again and again costs an agent's run 0.4 ms of its 2.9.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)
