"""uvicorn's HTTP protocol, where it reads: bounds, pipelining and upgrades put right."""

from __future__ import annotations

import re
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from launchpad.server.cycle import Cycle
from launchpad.server.refusals import NO_HOST, TOO_LARGE, UNKNOWN_CODING, UNREADABLE

__all__ = ["LINGER", "ReadingProtocol"]

LINGER = 2.0
"""Seconds that a client may go on to send what has been answered already."""
MAX_HEAD = 64 * 1024
"""Bytes that a request's line and headers may have, or a chunked body's trailers."""
HOST = re.compile(rb"(?:\[[\w:.~%-]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?")
"""A host and its port, as RFC 3986 (3.2.2) has them."""
ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
"""A request's target with scheme and host, as a proxy gets it (RFC 9112, 3.2.2)."""
UPGRADES = frozenset({b"upgrade", b"http2-settings"})


class ReadingProtocol(HttpToolsProtocol):
    """Reads one connection's requests.

    - A request that does not get complete is given up after the keep-alive time without a byte.
    - A request whose headers have no end gets 431, and what is no request 400, in the form of all
      errors. They do not come within another answer, which is left whole.
    - So does one that does not name its host, or names two (RFC 9112, 3.2). A host in its target
      stands in place of `Host` (3.2.2): whoever looks at `Host` would be told another one.
    - A body in another transfer coding than `chunked` gets 501 (RFC 9112, 6.1), and 400 where its
      end cannot be found (6.3); the application would get it coded.
    - What stands behind a body in chunks is no header of the request (RFC 9110, 6.5.1): uvicorn
      takes an API key from there, or leaves it, as the segments of TCP happen to fall.
    - A client of HTTP/1.0 is sent no `100 Continue` (RFC 9110, 15.2).
    - A client that has sent its next requests already (pipelining) is seen leaving too.
    - An upgrade that is not offered is ignored, as HTTP has it; uvicorn loses the body then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: Cycle | None = None
        self._head = 0
        """Bytes received since the last part of a body, or the last request's end."""
        self._refused = False
        self._refusal = UNREADABLE
        """What a request is told that cannot be taken."""
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
            self._refuse(self._refusal)
            return
        if self._head > MAX_HEAD:
            self._refuse(TOO_LARGE)
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
            self._refusal = TOO_LARGE
            raise ValueError("the request's head is too large")
        if self._ignores_upgrade():
            return
        self._check_head()
        if self.url[:1] != b"/":
            self._take_host_of_target()
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False
        super().on_headers_complete()
        # The parser's callback tells trailers as it tells headers.
        self.headers = []

    def _check_head(self) -> None:
        hosts: list[bytes] = []
        codings: list[bytes] = []
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                codings += value.split(b",")
        if codings:
            self._check_codings(codings)
        # The parser leaves white space behind a value, which is none of it (RFC 9112, 5.1).
        if len(hosts) == 1 and HOST.fullmatch(hosts[0].strip(b" \t")):
            return
        if hosts or self.parser.get_http_version() != "1.0":
            self._refusal = NO_HOST
            raise ValueError("the request does not name one host")

    def _check_codings(self, given: list[bytes]) -> None:
        codings = [name for one in given if (name := one.strip().lower())]
        if codings[-1:] != [b"chunked"]:
            raise ValueError("the body has no end")
        if codings != [b"chunked"]:
            self._refusal = UNKNOWN_CODING
            raise ValueError("a transfer coding is not known")

    def _take_host_of_target(self) -> None:
        target = ABSOLUTE.fullmatch(self.url)
        if target is None:
            return
        host, rest = target.groups()
        if host[:1] in {b"", b":"} or not HOST.fullmatch(host):
            self._refusal = NO_HOST
            raise ValueError("the request's target does not name a host")
        others = [header for header in self.headers if header[0] != b"host"]
        # In place: the scope has this list.
        self.headers[:] = [(b"host", host), *others]
        self.url = rest if rest.startswith(b"/") else b"/" + rest

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

    def _refuse(self, answer: bytes) -> None:
        """Read no further; `answer` is sent where it cannot be taken for a part of another."""
        self._refused = True
        running = self._running
        if running is None or running.response_complete:
            self._say_last(answer)
        elif not running.more_body:
            # Its request was whole, and so is its answer to be.
            self._end_after(running)
        elif running.response_started:
            self._cut()
        else:
            # Nobody will ever send the rest of its request.
            running.disconnected = True
            running.message_event.set()
            self._say_last(answer)

    def _say_last(self, answer: bytes) -> None:
        status, line_end, rest = answer.partition(b"\r\n")
        # `Date`, which every answer has (RFC 9110, 6.6.1).
        common = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((status, line_end, *common, rest)))
        # Closed at once, what it still sends would reset the connection under the answer.
        self.loop.call_later(LINGER, self.transport.close)

    def _end_after(self, running: Cycle) -> None:
        """Close the connection behind the answer to the last request that came whole."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False

    def _cut(self) -> None:
        """End the connection within an answer, so that it cannot be taken for a whole one."""
        self.transport.abort()

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
