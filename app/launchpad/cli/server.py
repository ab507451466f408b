"""uvicorn as Launchpad runs it: in this process, in several workers, or started anew on changes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from launchpad.cli.environment import TARGET_VARIABLE
from launchpad.cli.reload import Reload, folders
from launchpad.cli.workers import Workers
from launchpad.observe.logs import configure_logging
from launchpad.server.ending import OVERTIME, end_within
from launchpad.server.graceful import GracefulServer
from launchpad.settings import Settings, get_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["build_app", "run_server"]

KEEP_ALIVE = 75
"""Seconds; above the 60 for which common proxies keep a connection, so that they never race."""


def build_app() -> FastAPI:
    """The application that the environment describes; every process makes its own with this."""
    from launchpad.api.app import create_app
    from launchpad.cli.readiness import preload
    from launchpad.workflows.discover import load_registry

    settings = get_settings()
    configure_logging(settings.log_level)
    # A run's end is logged with what matters; uvicorn sees only that a request came. It looks
    # whether its access logger reaches a handler.
    logging.getLogger("uvicorn.access").propagate = False
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_leave_with, args=(parent.join, settings.shutdown_grace), daemon=True
        ).start()
    registry = load_registry(os.environ.get(TARGET_VARIABLE))
    preload(registry.values())
    return create_app(registry, settings)


def run_server(
    settings: Settings, listening: socket.socket, *, reload: bool, ready: Callable[[], None]
) -> None:
    """Serve from `listening` until a signal; returns after the last stream has ended.

    `ready` is called once requests are accepted. With `reload` or several workers it is called
    before they have started: their first requests wait.
    """
    config = uvicorn.Config(
        "launchpad.cli.server:build_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http="launchpad.server.protocol:LaunchpadProtocol",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        workers=settings.workers,
        reload=reload,
        reload_dirs=folders(os.environ.get(TARGET_VARIABLE)) if reload else None,
    )
    if reload:
        ready()
        # Open streams end with the reload: who changed a file waits for the new one.
        server = GracefulServer(config, grace=0.0)
        Reload(config, target=server.run, sockets=[listening]).run()
    elif settings.workers > 1:
        ready()
        Workers(config, [listening], grace=settings.shutdown_grace).run()
    else:
        GracefulServer(config, ready=ready).run(sockets=[listening])


def _leave_with(wait: Callable[[], None], grace: float) -> None:
    """End this worker when its supervisor is gone, be it by kill -9."""
    wait()
    # Where the main thread is held up in native code, no signal handler runs.
    end_within(grace + OVERTIME)
    os.kill(os.getpid(), signal.SIGTERM)
