"""`launchpad serve`: check, bind, start the local model, say what is served, run the server."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
import threading
from types import FrameType

from launchpad.cli.environment import export
from launchpad.errors import ConfigurationError
from launchpad.memory import starting
from launchpad.observe.logs import configure_logging
from launchpad.server.descriptors import allow_for, fill_standard
from launchpad.server.ending import HURRY, end_within
from launchpad.settings import Settings, warn_of_unknown_variables

__all__ = ["serve"]

UNSENT = 128 * 1024
"""Bytes that the kernel holds for a client beyond what is on its way to it."""


def serve(target: str | None, settings: Settings, *, reload: bool = False) -> None:
    """Serve `target` until SIGINT or SIGTERM; then exit with code 0.

    Raises `ConfigurationError` for all that is wrong before the first request.
    """
    fill_standard()
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, _leave)
        # What the user's modules have started may not come to an end.
        end_within(HURRY)
        raise _Stopped

    # Until the server has its own handlers, a signal just ends the program, without a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with starting():
            _serve(target, settings, reload=reload)
    except BaseException:
        # Who is imported just then may make another error of it: pydantic-core says `SchemaError`.
        if not came:
            # The reason is on its way to the terminal: a signal must not bury it in a traceback.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            raise


def _serve(target: str | None, settings: Settings, *, reload: bool) -> None:
    configure_logging(settings.log_level)
    warn_of_unknown_variables()
    allow_for(settings)
    _refuse_strangers(settings)
    export(settings, target)
    listening = _bind(settings)
    model = _LocalModel()
    if target is None and settings.model == "local":
        # The shipped workflows ask it for sure; it loads while Python imports the rest.
        model.start()

    from launchpad.api.router import create_catalog
    from launchpad.cli.banner import show_if_possible
    from launchpad.cli.readiness import look_at
    from launchpad.cli.server import run_server
    from launchpad.workflows.discover import load_registry

    catalog = create_catalog(load_registry(target), settings)
    readiness = look_at(catalog.served, settings)
    if readiness.default_problem is not None:
        raise ConfigurationError(readiness.default_problem)
    if readiness.asks_local_model:
        model.start()
    model.wait()

    def ready() -> None:
        show_if_possible(catalog, readiness, _url(settings.host, listening), settings)

    run_server(settings, listening, reload=reload, ready=ready)


class _Stopped(BaseException):
    """A signal came. Not `SystemExit`: a user's module that raises that is told so."""


def _leave(_number: int, _frame: FrameType | None) -> None:
    """A second signal: nobody waits for the program's own clean-up."""
    os._exit(0)


def _refuse_strangers(settings: Settings) -> None:
    """Without keys only this machine may call, unless the user says otherwise."""
    from launchpad.api.gate import read_keys

    if read_keys(settings) or _is_loopback(settings.host) or settings.allow_unauthenticated:
        return
    raise ConfigurationError(
        f"--host {settings.host} is reachable from other machines, and no API key is set. Set "
        "LAUNCHPAD_API_KEYS=name=key, or say --allow-unauthenticated."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bind(settings: Settings) -> socket.socket:
    """The socket that the server, and each of its workers, will accept from."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, so that asyncio's own loop turns Nagle's algorithm off for what it accepts: a chunk
    # would wait up to 40 ms for the client's acknowledgement of the one before.
    listening = socket.socket(family, proto=socket.IPPROTO_TCP)
    if sys.platform != "win32":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Its connections inherit it. Without it the kernel takes megabytes on behalf of a client
        # that does not read, and its upstream is slowed only then.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    try:
        listening.bind((host, settings.port))
        # From here on nobody else gets the port; who connects early waits.
        listening.listen(2048)
    except OSError as error:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"{where} is in use by another program. Choose another port: --port "
                f"{settings.port + 1}"
            ) from error
        raise ConfigurationError(f"Cannot listen on {where}: {error.strerror}.") from error
    return listening


def _url(host: str, listening: socket.socket) -> str:
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


class _LocalModel:
    """Starts the local model in a thread, beside the imports."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        if self._thread is None:
            # A daemon, so that Ctrl-C does not wait for a download.
            self._thread = threading.Thread(target=self._load, name="local-model", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _load(self) -> None:
        from launchpad.models.local import endpoint

        try:
            endpoint()
        except Exception as error:  # noqa: BLE001  (raised again by `wait`)
            self._error = error
