"""One local model for a whole tree of processes: the environment says where it is.

The first process that needs it starts it and exports `LAUNCHPAD_LOCAL_MODEL_URL` and
`LAUNCHPAD_LOCAL_MODEL_KEY`; the processes it starts afterwards (uvicorn's workers, a reload) read
them. It ends with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from launchpad.errors import ConfigurationError, UpstreamError
from launchpad.models.local.server import LocalEndpoint, LocalServer
from launchpad.settings import Settings, get_settings

__all__ = ["KEY_VARIABLE", "URL_VARIABLE", "LocalEndpoint", "endpoint", "stop"]

URL_VARIABLE = "LAUNCHPAD_LOCAL_MODEL_URL"
KEY_VARIABLE = "LAUNCHPAD_LOCAL_MODEL_KEY"
RETURN_TIMEOUT = 20.0
"""Seconds to wait for another process's model to come back: its owner replaces it after a crash."""


class _Owned:
    """The server that this process started, if it did."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: LocalServer | None = None
        self.pid = 0

    def here(self) -> LocalServer | None:
        # A fork copies this object; the model stays its parent's.
        return self.server if self.pid == os.getpid() else None


_owned = _Owned()


def endpoint(settings: Settings | None = None) -> LocalEndpoint:
    """Where the local model listens; starts it where no process of this tree has done so.

    Thread-safe. It may take seconds (the model loads; on a pip user's first run its weights are
    fetched), so call it in a thread from async code. It is cheap afterwards, and worth calling for
    each request: a model that has crashed is started anew, at the same address and key.

    Raises `ConfigurationError` where the model cannot be started, `UpstreamError` where the one
    that the environment names does not answer.
    """
    with _owned.lock:
        server = _owned.here()
        if server is None and URL_VARIABLE in os.environ:
            return _elsewhere(os.environ[URL_VARIABLE])
        if server is None:
            server = LocalServer(settings or get_settings())
            if _owned.server is None:
                atexit.register(_stop_at_exit)
            _owned.server, _owned.pid = server, os.getpid()
        found = server.endpoint()
        os.environ[URL_VARIABLE] = found.base_url
        os.environ[KEY_VARIABLE] = found.api_key
        return found


def stop() -> None:
    """End the model if this process started it; requests under way are cut."""
    server = _owned.here()
    if server is None:
        return
    server.stop()
    with _owned.lock:
        os.environ.pop(URL_VARIABLE, None)
        os.environ.pop(KEY_VARIABLE, None)
        _owned.pid = 0


def _stop_at_exit() -> None:
    """As `stop`, but for the environment: a thread that loads the model may hold the lock."""
    server = _owned.here()
    if server is not None:
        server.stop()


def _elsewhere(base_url: str) -> LocalEndpoint:
    """The endpoint that another process owns, once it accepts connections."""
    parts = urlsplit(base_url)
    if not parts.hostname or not parts.port:
        raise ConfigurationError(
            f"{URL_VARIABLE} must be like http://127.0.0.1:8081/v1, not {base_url!r}."
        )
    deadline = time.monotonic() + RETURN_TIMEOUT
    while True:
        try:
            ready = _is_ready(parts.hostname, parts.port)
        except OSError as error:
            if time.monotonic() > deadline:
                raise UpstreamError("The local model does not answer.", status=503) from error
            ready = False
        if ready or time.monotonic() > deadline:
            return LocalEndpoint(base_url=base_url, api_key=os.environ.get(KEY_VARIABLE, ""))
        time.sleep(0.1)


def _is_ready(host: str, port: int) -> bool:
    """Whether the model answers: llama.cpp accepts connections while it loads, and says 503 then.

    Raises `OSError` where nobody is there. Of a server that is not llama.cpp it is enough that it
    accepts: a request will tell the rest.
    """
    with closing(HTTPConnection(host, port, timeout=2)) as connection:
        connection.connect()
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status != HTTPStatus.SERVICE_UNAVAILABLE
        except (TimeoutError, HTTPException):
            return True
