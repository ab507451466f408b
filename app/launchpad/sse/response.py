"""`SSEResponse`: the ASGI response that writes a stream of frames to one client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from launchpad.sse.connection import Direct, connection_of
from launchpad.sse.refusal import Refusal
from launchpad.timer import Timer

logger = logging.getLogger("launchpad.sse")

HEADERS: Mapping[str, str] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
"""Sent with every stream; `connection: keep-alive` is added on HTTP/1.1."""


LOOKS = 4
"""Looks at a client within one `send_timeout`."""


class FrameSource(Protocol):
    """Where the bytes come from; `launchpad.wire.frames.FrameStream` is one."""

    @property
    def finished(self) -> bool:
        """Nothing comes after what was given. May be false although nothing will."""
        ...

    async def __anext__(self) -> bytes:
        """The next bytes to write; may raise `Refusal` before the first."""
        ...

    async def forward(self, write: Callable[[bytes], bool]) -> None:
        """Hand what comes to `write`, until that returns False or `__anext__` is due again.

        Only once the head has gone. Costs a token no turn of the caller's task.
        """
        ...

    def cancel(self) -> None:
        """Stop now: a pending `__anext__` or `forward` ends."""
        ...

    async def aclose(self) -> None:
        """Stop, and wait until everything is cleaned up."""
        ...


class SSEResponse:
    """Writes `source` to the client: one writer, and one watcher for the client's leaving.

    The watcher is a task in `receive`, and the writer one that sends. Where our own server lends
    its connection (`launchpad.sse.connection`), that tells of a leaving client itself, and the
    source writes to it while the writer waits.

    The head is held until the source's first bytes, so that a failure before them can still have
    an HTTP status of its own. A client that leaves, or that takes no bytes for `send_timeout`
    seconds, ends the source at once.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        headers: Mapping[str, str] | None = None,
        send_timeout: float = 30.0,
        label: str = "",
    ) -> None:
        self._source = source
        self._given = headers or {}
        self._send_timeout = send_timeout
        self._label = label
        self._left = False
        self._blocked_since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the response, and leave nothing behind however it ends."""
        connection = connection_of(scope)
        direct = connection["direct"](send, receive) if connection is not None else None
        watcher: asyncio.Task[None] | None = None
        if direct is None:
            watcher = asyncio.get_running_loop().create_task(self._watch(receive))
        else:
            direct.on_left(self._leave)
        try:
            try:
                first = await self._source.__anext__()
            except Refusal as refusal:
                await self._refuse(refusal, send)
            except StopAsyncIteration:
                if not self._left:
                    await self._write(b"", scope, send, direct)
            else:
                await self._write(first, scope, send, direct)
        finally:
            if watcher is not None:
                watcher.cancel()
            elif direct is not None:
                direct.on_left(None)
            await self._source.aclose()

    async def _write(self, first: bytes, scope: Scope, send: Send, direct: Direct | None) -> None:
        loop = asyncio.get_running_loop()
        guard: _SendGuard | None = None
        if direct is None or direct.is_full():
            # Where it is known that `send` will not wait, there is nothing to guard.
            guard = _SendGuard(self, loop, asyncio.current_task(), scope)
        try:
            self._blocked_since = loop.time()
            if direct is not None:
                direct.join_head()
            await send(self._head(scope))
            data, more = first, True
            while more and not self._left:
                # The last bytes carry the body's end with them: one write less.
                more = bool(data) and not self._source.finished
                if guard is None and direct is not None and direct.is_full():
                    guard = _SendGuard(self, loop, asyncio.current_task(), scope)
                self._blocked_since = loop.time()
                await send({"type": "http.response.body", "body": data, "more_body": more})
                self._blocked_since = None
                if more:
                    try:
                        if direct is not None and direct.has_room():
                            await self._source.forward(direct.write)
                        data = await self._source.__anext__()
                    except StopAsyncIteration:
                        data = b""
        except asyncio.CancelledError:
            if guard is None or not guard.fired:
                raise
            guard.absorb()
        finally:
            if guard is not None:
                guard.stop()

    async def _watch(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._leave()
                return

    def _leave(self) -> None:
        self._left = True
        self._source.cancel()

    async def _refuse(self, refusal: Refusal, send: Send) -> None:
        headers = {**self._given, "content-type": "application/json", **refusal.headers}
        headers["content-length"] = str(len(refusal.body))
        await send(
            {"type": "http.response.start", "status": refusal.status, "headers": _raw(headers)}
        )
        await send({"type": "http.response.body", "body": refusal.body, "more_body": False})

    def _head(self, scope: Scope) -> Message:
        given = self._given
        keeps = scope.get("http_version") == "1.1"
        if _OURS.isdisjoint(given):
            headers = [*(_KEEPING if keeps else _RAW), *_raw(given)]
        else:
            kept = {"connection": "keep-alive"} if keeps else {}
            headers = _raw({**HEADERS, **given, **kept})
        return {"type": "http.response.start", "status": 200, "headers": headers}

    @property
    def label(self) -> str:
        """What the log calls this response."""
        return self._label

    @property
    def send_timeout(self) -> float:
        """Seconds that one write may wait for the client."""
        return self._send_timeout

    @property
    def blocked_since(self) -> float | None:
        """When the write that is under way began, on the loop's clock."""
        return self._blocked_since


class _SendGuard:
    """Cuts off a client that does not read.

    One timer for the whole response looks at how long the present write has been waiting. Where
    the server tells how much is unsent, a client that takes anything at all is only slow, and
    goes on; the connection is reset in the end, so that nothing waits for it. Elsewhere the run
    ends, and the server closes when it can.
    """

    def __init__(
        self,
        response: SSEResponse,
        loop: asyncio.AbstractEventLoop,
        writer: asyncio.Task[Any] | None,
        scope: Scope,
    ) -> None:
        self._response = response
        self._loop = loop
        self._writer = writer
        self._connection = connection_of(scope)
        self._since: float | None = None
        self._moved = 0.0
        self._unsent = 0
        self._timer = self._look_in(response.send_timeout / LOOKS)
        self.fired = False

    def _look_in(self, seconds: float) -> Timer:
        return Timer(self._loop, seconds, self._look)

    def _look(self) -> None:
        limit, waited = self._response.send_timeout, self._waited()
        if waited < limit:
            self._timer = self._look_in(min(limit - waited, limit / LOOKS))
            return
        self.fired = True
        logger.warning(
            "%s cut off: the client took no bytes for %.1f s", self._response.label, waited
        )
        if self._connection is not None:
            self._connection["abort"]()
        if self._writer is not None:
            self._writer.cancel()

    def _waited(self) -> float:
        """Seconds for which the client was seen to take nothing, within the present write."""
        since, now = self._response.blocked_since, self._loop.time()
        if since is None:
            return 0.0
        unsent = self._connection["unsent"]() if self._connection is not None else 0
        # A write that was not seen before says nothing yet of what was taken since it began.
        if since != self._since or unsent < self._unsent:
            self._since, self._moved = since, now
        self._unsent = unsent
        return now - self._moved

    def absorb(self) -> None:
        """The cancellation was ours: let the writer's task go on."""
        if self._writer is not None:
            self._writer.uncancel()

    def stop(self) -> None:
        """No more looking."""
        self._timer.cancel()


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


_RAW = _raw(HEADERS)
_KEEPING = _raw({**HEADERS, "connection": "keep-alive"})
_OURS = frozenset({*HEADERS, "connection"})
