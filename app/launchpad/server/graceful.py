"""uvicorn's server with Launchpad's way to end: streams first, then connections, then the app."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.server import ServerState

from launchpad.memory import starting
from launchpad.runs.in_process import RUNS_STATE, Runs
from launchpad.server.descriptors import Spare
from launchpad.server.ending import HURRY, OVERTIME, end_within
from launchpad.server.generators import BegunGenerators
from launchpad.server.huge_pages import HugePages
from launchpad.server.protocol import LaunchpadProtocol

__all__ = ["GracefulServer", "Idle"]

logger = logging.getLogger("launchpad.server")

LAST_WORDS = 5.0
"""Seconds that the error events of ended runs, and other short answers, may take to leave."""
HURRIED_WORDS = 2.0
"""The same after a second signal."""
CANCELLATION = 1.0
"""Seconds in which a request that is cancelled in the end can end properly."""
STUBBORN = 4.0
"""Seconds that what is left after the application's own end may hold up the process's."""
TICK = 0.05
IDLE_TICKS = 3
"""Of uvicorn's ticks, a tenth of a second each: so long without a request, and nobody waits. Less
than half a second, after which a probe may come."""
IDLE_SLICE = 0.005
"""Seconds of an idle tick that are used, and a page's more: so much longer waits a request that
comes just then."""


class GracefulServer(uvicorn.Server):
    """Serves until a signal, then drains.

    uvicorn tells the application of the shutdown after the last connection has closed, which
    open streams put off; and it raises the signal again in the end, so that the process does not
    exit with code 0. Here, at the first signal: accept no more, close idle connections, let the
    runs finish within `grace` seconds, end the rest with an error event, close what is left, stop
    the application. A second signal leaves out the waiting. With `run`, which ends the process
    afterwards, nothing that a node does can keep it from ending: see `launchpad.server.ending`.

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
        self._ends_process = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heap: HugePages | None = None
        self._idle = Idle()
        self._spare = Spare()
        self._begun = BegunGenerators()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, as the last that this process does."""
        self._ends_process = True
        with starting():
            super().run(sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, and leave the loop to whoever runs it."""
        try:
            await super().serve(sockets)
        finally:
            self._begun.end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._ends_process:
            _name_the_loop()
            self._begun.begin()
            self._heap = HugePages()
        if self.started and self._ready is not None:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the server."""
        if self._heap is not None and self._idle.ticks(self.server_state) >= IDLE_TICKS:
            self._heap = self._heap if self._heap.move(IDLE_SLICE) else None
        if self._ends_process:
            self._spare.look()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends the server, a second one hurries."""
        del frame
        if self._follows and sig == signal.SIGINT:
            return
        if self.should_exit and not self.force_exit:
            self.force_exit = True
            self._end_within(HURRY)
        elif not self.should_exit:
            self.should_exit = True
            self._end_within(self._seconds() + OVERTIME)

    def _seconds(self) -> float:
        """The grace: how long runs may go on."""
        runs = self._runs()
        if self._grace is not None or runs is None:
            return self._grace or 0.0
        return runs.settings.shutdown_grace

    def _runs(self) -> Runs | None:
        if self._loop is None:  # before the start there is no lifespan
            return None
        return cast("Runs | None", self.lifespan.state.get(RUNS_STATE))

    def _end_within(self, seconds: float) -> None:
        if self._ends_process:
            end_within(seconds, self._loop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn once the server is to end."""
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        until = time.monotonic() + self._seconds()
        runs = self._runs()
        if runs is not None:
            await self._drain(runs)
        await self._close_connections(until)
        await self.lifespan.shutdown()
        self._end_within(STUBBORN)

    async def _drain(self, runs: Runs) -> None:
        grace = self._seconds()
        if runs.active:
            logger.info("shutting down: %d runs go on, for up to %g s", runs.active, grace)
        draining = asyncio.get_running_loop().create_task(runs.shut_down(grace))
        # It begins before the connections could begin one with the settings' grace.
        await asyncio.sleep(0)
        # Idle connections close now; the others with the end of their response.
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=TICK)
        if not draining.done():
            draining.cancel()
            await runs.shut_down(0)

    async def _close_connections(self, until: float) -> None:
        """Let the last words leave; then nobody is waited for but, `until` then, who takes some."""
        state = self.server_state
        began = time.monotonic()
        takers = _Takers()
        # uvicorn tells nobody when one has closed.
        while state.connections or state.tasks:
            now = time.monotonic()
            taken = takers.last_taken(state.connections)
            if self.force_exit:
                if now >= began + HURRIED_WORDS:
                    break
            elif now >= began + LAST_WORDS and not now < min(until, taken + LAST_WORDS):
                break
            await asyncio.sleep(TICK)
        for connection in list(state.connections):
            if isinstance(connection, LaunchpadProtocol):
                connection.abort()
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLATION)


class Idle:
    """For how long a server has had nothing to do."""

    def __init__(self) -> None:
        self._requests = 0
        self._ticks = 0

    def ticks(self, state: ServerState) -> int:
        """Ticks without a request, this one included."""
        is_idle = not state.tasks and state.total_requests == self._requests
        self._ticks = self._ticks + 1 if is_idle else 0
        self._requests = state.total_requests
        return self._ticks


class _Takers:
    """When any client has last taken bytes of what is queued for it."""

    def __init__(self) -> None:
        self._unsent: dict[LaunchpadProtocol, int] = {}
        self._taken = 0.0

    def last_taken(self, connections: Iterable[object]) -> float:
        """Look at all of them again; the moment, on the monotonic clock."""
        unsent = {one: one.unsent() for one in connections if isinstance(one, LaunchpadProtocol)}
        if any(left < self._unsent.get(one, 0) for one, left in unsent.items()):
            self._taken = time.monotonic()
        self._unsent = unsent
        return self._taken


def _name_the_loop() -> None:
    """Say for this thread which library's loop runs in it, as sniffio lets a loop's owner do.

    anyio asks 58 times in one run of an agent, and finds out by the current task each time.
    """
    with suppress(ImportError):
        import sniffio  # anyio can do without

        sniffio.thread_local.name = "asyncio"
