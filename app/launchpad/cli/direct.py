"""`DirectBody`: a response's body, written without a message to the server for each part."""

from __future__ import annotations

from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["DirectBody"]


class DirectBody:
    """`launchpad.sse.connection.Direct` over uvicorn's request.

    Does what its `send` does with a part of a body that is not the last, and what its `receive`
    does about clients that leave.
    """

    __slots__ = ("_cycle", "_left")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._left: Callable[[], None] | None = None

    def on_left(self, act: Callable[[], None] | None) -> None:
        """See `Direct`."""
        self._left = act
        if act is not None:
            # A socket that is not read does not show its end.
            self._cycle.flow.resume_reading()
            if self._cycle.disconnected:
                self.left()

    def left(self) -> None:
        """The client is gone: tell who wants to know."""
        act, self._left = self._left, None
        if act is not None:
            act()

    def begin_body(self) -> bool:
        """See `Direct`."""
        # Without a length, and not in answer to HEAD: uvicorn's own condition for chunks.
        cycle = self._cycle
        return bool(cycle.chunked_encoding) and cycle.scope["method"] != "HEAD"

    def write(self, data: bytes) -> bool:
        """See `Direct`."""
        cycle = self._cycle
        if cycle.disconnected or cycle.response_complete:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not cycle.flow.write_paused
