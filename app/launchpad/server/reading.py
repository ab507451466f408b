"""uvicorn's HTTP protocol, where it reads: bounds, pipelining and upgrades put right."""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from launchpad.server.cycle import Cycle
from launchpad.timer import Timer

__all__ = ["LINGER", "ReadingProtocol"]

LINGER = 2.0
"""Seconds that a client may go on to send what has been answered already."""
MAX_HEAD = 64 * 1024
"""Bytes that a request's line and headers may have, or a chunked body's trailers."""
TOO_LARGE = (
    b'{"error":{"message":"The request\'s headers are larger than 64 KiB.",'
    b'"type":"invalid_request_error","param":null,"code":"headers_too_large"}}'
)
ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(TOO_LARGE), TOO_LARGE)
)
UPGRADES = frozenset({b"upgrade", b"http2-settings"})


class ReadingProtocol(HttpToolsProtocol):
    """Reads one connection's requests.

    - A request that does not get complete is given up after the keep-alive time without a byte.
    - A request whose headers have no end gets 431.
    - A client that has sent its next requests already (pipelining) is seen leaving too.
    - An upgrade that is not offered is ignored, as HTTP has it; uvicorn loses the body then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: Cycle | None = None
        self._head = 0
        """Bytes received since the last part of a body, or the last request's end."""
        self._too_large = self._refused = False
        self._ahead = 0
        """Bytes received while requests wait for their turn."""

    def connection_made(self, transport: Any) -> None:
        """Called by the event loop."""
        super().connection_made(transport)
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            # uvicorn tells the request that came last, which may still wait for its turn.
            running.disconnected = True
            running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._head += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if self._too_large:
                self._refuse_head()
            else:
                self.send_400_response("Invalid HTTP request received.")
            return
        if self._head > MAX_HEAD:
            self._refuse_head()
            return
        if self.pipeline:
            self._look_ahead(len(data))
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or (cycle.more_body and not self.pipeline):
            self._expect_more()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            elif self._ignores_upgrade():
                self._parse(self._without_upgrade() + data[upgrade.args[0] :])

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        # `_head` may hold a part of the body, which came with it.
        if self._head > MAX_HEAD and self._size_of_head() > MAX_HEAD:
            self._too_large = True
            raise ValueError("the request's head is too large")
        if not self._ignores_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser; how much of it may come is the application's to say."""
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._head = 0
        if not self._ignores_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called when the response's last bytes were handed to the transport."""
        super().on_response_complete()
        cycle = self.cycle
        if cycle.more_body and cycle.response_complete:
            # Answered before its end (a body that is too large): it may come to one, not go on.
            self.loop.call_later(LINGER, self._end_request, cycle)
        elif cycle.more_body:
            self._expect_more()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # uvicorn makes it by that class's name.
        cycle.__class__ = Cycle
        self._running = cycle
        if not self.pipeline:
            self._ahead = 0
        super()._start_asgi_task(cycle, app)

    def _expect_more(self) -> None:
        """The client's turn: it is to send a request, or the rest of one."""
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def timeout_keep_alive_handler(self) -> None:
        """Called after the keep-alive time without a byte; those that lie in the socket count."""
        look = Timer(self.loop, 0.0, super().timeout_keep_alive_handler)
        # All that uvicorn does with it is to cancel it.
        self.timeout_keep_alive_task = cast("TimerHandle", look)

    def _end_request(self, cycle: RequestResponseCycle) -> None:
        if self.cycle is cycle:
            self.transport.close()

    def _look_ahead(self, received: int) -> None:
        """Go on reading for a while although requests wait: a paused socket hides its end."""
        self._ahead += received
        if self._ahead <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        self._refused = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            self.transport.close()  # it has another answer, or a part of one
            return
        self.transport.write(ANSWER)
        # Closed at once, what it still sends would reset the connection under the answer.
        self.loop.call_later(LINGER, self.transport.close)

    def _ignores_upgrade(self) -> bool:
        parser = self.parser
        if not parser.should_upgrade() or self._should_upgrade():
            return False
        return parser.get_method() != b"CONNECT"

    def _without_upgrade(self) -> bytes:
        """The request's head again, for a parser of its own: the old one sees no body."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = [token for token in tokens if token.lower() not in UPGRADES]
                lines.append(b"connection: " + b", ".join(kept))
            elif name not in UPGRADES:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])
