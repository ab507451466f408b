"""`--workers N`: several server processes on one socket, and the supervisor that minds them."""

from __future__ import annotations

import logging
import math
import multiprocessing
import signal
import socket
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from launchpad.errors import ConfigurationError
from launchpad.server.ending import HURRY, OVERTIME
from launchpad.server.graceful import GracefulServer

__all__ = ["Workers"]

logger = logging.getLogger("launchpad.server")

TICK = 0.2
SHORT_LIFE = 1.0
"""Seconds before a worker that died is replaced: one that dies at its start is not to spin."""
MARGIN = 3.0
"""Seconds that a worker is given beyond the moment at which it should have ended itself."""


class Workers:
    """Starts the workers, replaces one that dies, and passes signals on.

    The first SIGTERM or SIGINT lets every worker drain for `grace` seconds, a second one hurries
    them; one that has not ended by then is killed. A worker whose start fails ends all: it would
    fail again. uvicorn's own supervisor would run its own server in the workers, and is deaf while
    it waits for them.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], *, grace: float
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._grace = grace
        self._killing_at = math.inf
        self._workers: list[SpawnProcess] = []
        self._signals = 0
        self._passed_on = 0

    def run(self) -> None:
        """Supervise until a signal, and until the last worker has ended."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_signal)
        self._workers = [self._start() for _ in range(self._config.workers)]
        failed = False
        while self._workers:
            wait([worker.sentinel for worker in self._workers], timeout=TICK)
            self._pass_signals_on()
            self._kill_the_late()
            for worker in [one for one in self._workers if not one.is_alive()]:
                self._workers.remove(worker)
                failed |= worker.exitcode == STARTUP_FAILURE
                if failed and not self._signals:
                    logger.error("a worker could not start; the others are ended")
                    self._signals = 1
                elif not self._signals:
                    logger.warning("a worker died (code %s) and is replaced", worker.exitcode)
                    time.sleep(SHORT_LIFE)
                    self._workers.append(self._start())
        if failed:
            sys.exit(STARTUP_FAILURE)

    def _start(self) -> SpawnProcess:
        worker = multiprocessing.get_context("spawn").Process(
            target=_work, args=(self._config, self._sockets), name="launchpad-worker"
        )
        worker.start()
        return worker

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _pass_signals_on(self) -> None:
        while self._passed_on < self._signals:
            self._passed_on += 1
            # The workers close theirs; as long as any is open, the kernel accepts.
            for one in self._sockets:
                one.close()
            for worker in self._workers:
                worker.terminate()
            limit = self._grace + OVERTIME if self._passed_on == 1 else HURRY
            self._killing_at = min(self._killing_at, time.monotonic() + limit + MARGIN)

    def _kill_the_late(self) -> None:
        if time.monotonic() < self._killing_at:
            return
        for worker in self._workers:
            logger.warning("a worker does not end and is killed")
            worker.kill()
        self._killing_at = math.inf


def _work(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """A worker's life. Ctrl-C in a terminal reaches it too; what to do is its supervisor's word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = GracefulServer(config, follows=True)
    try:
        server.run(sockets)
    except Exception as error:
        if server.started:
            raise
        if isinstance(error, ConfigurationError):
            # It says what is wrong with the user's own module, its line included.
            logger.critical("%s", error)
        else:
            logger.exception("the worker could not start")
        sys.exit(STARTUP_FAILURE)
