"""A model provider that does what a test tells it: real HTTP on a real socket.

    with ScriptedUpstream() as upstream:
        client = OpenAI(base_url=upstream.base_url, api_key="any")
        client.chat.completions.create(...)          # the scripted model answers

        upstream.script(Chunk("Hello"), Die())       # the next request: a token, then a reset
        ...
        assert upstream.requests[-1].outcome == "dropped"

Without a script the scripted model answers: it obeys tools, tool_choice, stop, max_tokens,
response_format, n and the rest (`launchpad.testing.answers`), and takes commands from the user
message (`launchpad.testing.directives`).

It speaks OpenAI's `/v1/chat/completions` and `/v1/models`, and Anthropic's `/v1/messages`,
streamed and not. It runs in a thread of its own, so that sync and async tests can use it alike,
and nothing that blocks the test's own event loop delays it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

from launchpad.testing.book import Reply, ScriptBook
from launchpad.testing.connection import Connection
from launchpad.testing.records import ReceivedRequest, Watch
from launchpad.testing.routes import Routes

__all__ = ["ScriptedUpstream"]

BACKLOG = 2048
START_TIMEOUT = 10.0


class ScriptedUpstream(ScriptBook):
    """The server; a context manager that is up inside the `with` block.

    Args:
        reply: what the scripted model says where nothing else decides; the user's words if None.
        models: what `/v1/models` lists; any model name is answered.
        api_key: requests with another key get 401; None takes any.
        send_buffer: the kernel's send buffer in bytes (Linux doubles it); small ones make
            backpressure visible after few tokens.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        reply: Reply | None = None,
        *,
        models: Iterable[str] = ("scripted",),
        api_key: str | None = None,
        send_buffer: int | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(reply)
        self.port = port
        self.errors: list[BaseException] = []
        """What went wrong in the upstream itself; raised when the `with` block ends."""
        self._send_buffer = send_buffer
        self._watch = Watch()
        self._routes = Routes(
            self,
            self._watch,
            models=list(models),
            api_key=api_key,
            refuse=self._close_door,
            errors=self.errors,
        )
        self._live: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)

    def __enter__(self) -> Self:
        """Start serving. Raises `OSError` where the port is taken."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise TimeoutError("the scripted upstream did not start")
        if self.errors:
            raise self.errors.pop()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop every connection and stop; raises what failed inside the upstream, if anything."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_TIMEOUT)
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: what Anthropic's clients take as base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT/v1`: what OpenAI's clients take as base URL."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request, in the order of arrival."""
        return self._routes.requests

    @property
    def open_streams(self) -> int:
        """How many requests are being answered at this moment."""
        return sum(connection.answering and connection.open for connection in tuple(self._live))

    @property
    def open_connections(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._live)

    @property
    def tokens_sent(self) -> int:
        """Tokens that left, over all requests."""
        return sum(request.tokens_sent for request in tuple(self.requests))

    def wait_requests(self, count: int = 1, timeout: float = 10.0) -> list[ReceivedRequest]:
        """Block until `count` requests have arrived in all. Raises `TimeoutError`."""
        self._watch.until(lambda: len(self.requests) >= count, timeout, f"request {count}")
        return list(self.requests)

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Block until no request is being answered. Raises `TimeoutError`."""
        self._watch.until(
            lambda: all(request.outcome != "answering" for request in self.requests),
            timeout,
            "the end of all requests",
        )

    def wait_closed(self, timeout: float = 10.0) -> None:
        """Block until no connection is open: the client's pool is closed. Raises `TimeoutError`."""
        self._watch.until(lambda: not self._live, timeout, "the end of all connections")

    def refuse(self) -> None:
        """Close the listening socket: new connections are refused, open ones go on."""

        async def close() -> None:
            self._close_door()

        self._call(close)

    def accept(self) -> None:
        """Listen again, on the same port."""
        self._call(self._open_door)

    def _call(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run `action` in the server's thread and wait for it."""
        if self._loop is None:
            raise RuntimeError("the scripted upstream is not running")

        async def run() -> None:
            await action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_TIMEOUT)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # handed to the thread that uses it
            self.errors.append(error)
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop, self._empty = asyncio.Event(), asyncio.Event()
        await self._open_door()
        self._ready.set()
        await self._stop.wait()
        self._close_door()
        tasks = [connection.task for connection in self._live if connection.task is not None]
        self._empty.clear()
        for connection in tuple(self._live):
            connection.drop(reset=True)
        await asyncio.gather(*tasks, return_exceptions=True)
        # An aborted transport closes its socket in a later round of the loop.
        if self._live:
            await self._empty.wait()

    async def _open_door(self) -> None:
        if self._server is not None:
            return
        # Named TCP, so that asyncio turns Nagle's algorithm off for what it accepts.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._send_buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            listener.bind(("127.0.0.1", self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=listener, backlog=BACKLOG)

    def _close_door(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _connect(self) -> Connection:
        return Connection(self._routes.handle, self._note)

    def _note(self, connection: Connection) -> None:
        if connection.open:
            self._live.add(connection)
        else:
            self._live.discard(connection)
            if not self._live:
                self._empty.set()
        self._watch.notify()
