"""uvicorn's HTTP protocol, with a hand on clients that do not read and on the server's end.

`launchpad serve` uses it. With your own app and `uvicorn.run(app, …)` you get the same by
`http="launchpad.server.protocol:LaunchpadProtocol"`.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
from typing import Any

from starlette.types import Receive, Send

from launchpad.runs.in_process import Runs
from launchpad.server.direct import DirectBody, beneath_starlette
from launchpad.server.reading import ReadingProtocol
from launchpad.sse.connection import CONNECTION_EXTENSION, Connection
from launchpad.timer import Timer

__all__ = ["LaunchpadProtocol"]

logger = logging.getLogger("launchpad.server")

RESET = struct.pack("ii", 1, 0)
SEND_TIMEOUT = 30.0
"""Seconds, where the application says nothing."""


class LaunchpadProtocol(ReadingProtocol):
    """One connection.

    What it adds to uvicorn's, beside what `ReadingProtocol` does:

    - `scope["extensions"]["launchpad.connection"]`: how many bytes the client has not taken yet,
      a way to reset the connection (uvicorn's own close waits until all of them are taken), and
      one past `send` for the parts of a body.
    - A response's last bytes that nobody takes for `send_timeout` reset the connection too.
    - The server's shutdown begins that of the application's runs at once, rather than after the
      last connection has closed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One for each router of ours that the application includes.
        self._runs = [value for value in self.app_state.values() if isinstance(value, Runs)]
        connection = Connection(unsent=self.unsent, abort=self.abort, direct=self.direct)
        self._extensions: dict[str, Any] = {CONNECTION_EXTENSION: connection}
        self._unread_timer: Timer | None = None
        self._body: DirectBody | None = None

    def unsent(self) -> int:
        """Bytes that the client has not taken: those here, and those that the kernel still has."""
        raw = self.transport.get_extra_info("socket")
        here = self.transport.get_write_buffer_size()
        return here + (_in_kernel(raw.fileno()) if raw is not None else 0)

    def abort(self) -> None:
        """Reset the connection; what was not sent yet is dropped, by the kernel too."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None and raw.family in {socket.AF_INET, socket.AF_INET6}:
            try:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            except OSError as error:
                logger.debug("the connection was gone already: %s", error)
        self.transport.abort()

    def direct(self, send: Send, receive: Receive) -> DirectBody | None:
        """The way past both, where they are the running request's own. See `Connection`."""
        running = self._running
        if running is None or receive != running.receive:
            return None
        if beneath_starlette(send) != running.send:
            return None
        if running.more_body:
            # Nobody has read the request to its end, and while its rest waits the client's leaving
            # is not seen: that is for `receive`.
            return None
        self._body = DirectBody(running)
        return self._body

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        super().connection_lost(exc)
        if self._body is not None:
            self._body.left()
            self._body = None
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        # It refers to this object, as the scope does to it.
        self._extensions.clear()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = self._extensions

    def on_response_complete(self) -> None:
        """Called when the response's last bytes were handed to the transport."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size() and self._unread_timer is None:
            self._watch_unread()

    def shutdown(self) -> None:
        """Called when the server begins to shut down."""
        super().shutdown()
        for runs in self._runs:
            runs.begin_shutdown()

    def _cut(self) -> None:
        self.abort()

    def _watch_unread(self) -> None:
        timeout = self._runs[0].settings.send_timeout if self._runs else SEND_TIMEOUT
        self._unread_timer = Timer(self.loop, timeout, self._look_unread, self.unsent(), timeout)

    def _look_unread(self, left: int, timeout: float) -> None:
        self._unread_timer = None
        if self.unsent() >= left:
            logger.warning(
                "a connection was reset: the client took no byte of its response for %g s", timeout
            )
            self.abort()
        elif self.transport.get_write_buffer_size():
            self._watch_unread()


def _in_kernel(descriptor: int) -> int:
    """Bytes that were written to a socket and that the other side has not acknowledged."""
    if sys.platform != "linux" or descriptor < 0:
        return 0
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)
