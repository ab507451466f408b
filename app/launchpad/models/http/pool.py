"""Connections of one event loop: kept alive between requests, closed with the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from launchpad.models.http.connection import BrokenConnectionError, Connection
from launchpad.models.http.dial import dial
from launchpad.models.http.names import Names
from launchpad.models.http.route import Address, Route, route_to
from launchpad.models.http.unpacked import Unpacked
from launchpad.models.loops import loop_scope

KEEP_ALIVE = 30.0
"""Seconds that an unused connection is kept; servers' own limits begin above this."""
LINGER = 2.0
"""After the answer's last event, how long the rest of its HTTP body may take."""

_POOL = "http pool"
_ROUTES = 256
_IDLE_TOO_LONG = 408

Key = tuple[Address, Address | None]
Take = Callable[[], bytes | None]


class ConnectTimeoutError(TimeoutError):
    """No connection within the time allowed for it."""


class Response:
    """An answer: its status and headers are there, its body is read from it."""

    def __init__(self, pool: Pool, key: Key, connection: Connection) -> None:
        self._pool = pool
        self._key = key
        self._connection = connection
        self.status = connection.status
        self.closed = False
        """Whether `close` or `finish` was called."""
        # Not asked for, but some proxies pack all the same.
        packed = connection.header(b"content-encoding").lower() in {"gzip", "x-gzip", "deflate"}
        body = Unpacked(connection) if packed else connection
        self.take: Take = body.take
        """What has come of the body; b"" at its end, None where `arrival` is to be awaited.

        Raises `BrokenConnectionError`, after everything that came before the fault.
        """
        self.arrival = body.arrival
        """A future that is done when `take` may have something new."""
        self._packed = packed
        self.header = connection.header
        """One header by its lower-case name; "" where it is missing."""

    def on_piece(self, act: Callable[[bytes], bool] | None) -> None:
        """Call `act` with a piece of the body that somebody waits for, before they are woken.

        True: it has been seen to, and they go on waiting. None: no more. Never for a packed body.
        """
        connection = self._connection
        if self.closed:
            return
        if act is None or self._packed:
            connection.on_piece = None
            return

        def asked() -> bool:
            data = connection.piece()
            if data is None or not act(data):
                return False
            connection.take()
            return True

        connection.on_piece = asked

    async def read(self) -> bytes:
        """What has come of the body, at least one byte; b"" at its end. Raises as `take`."""
        while (data := self.take()) is None:
            await self.arrival()
        return data

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        return self._connection.headers

    def close(self) -> None:
        """Close the connection at once, unless it has been given back."""
        if not self.closed:
            self.on_piece(None)
            self.closed = True
            self._connection.abort()

    def finish(self) -> None:
        """Nothing more is to be read: keep the connection when the body's end is there, or soon."""
        if not self.closed:
            self.on_piece(None)
            self.closed = True
            self._pool.give_back(self._key, self._connection)


class Pool:
    """See the module. No limit: the number of runs is bounded before they get here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._names = Names(self._loop)
        self._routes: dict[str, Route] = {}
        self._idle: dict[Key, dict[Connection, None]] = {}
        self._all: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def post(
        self,
        url: str,
        head: bytes,
        body: bytes,
        *,
        connect_timeout: float,
        watch: Callable[[Callable[[], None]], None],
    ) -> Response:
        """Send `body` with the header lines `head`, each with its CRLF; wait for the answer's head.

        `watch` gets what closes the connection, before it is used. A kept-alive connection that
        the other side had closed, or closes with a 408 that crosses the request (RFC 9110,
        15.5.9), is replaced once. Raises `ConnectTimeoutError`,
        `BrokenConnectionError` and other `OSError`s, `ValueError` for a bad URL. Cancelling it
        closes the connection.
        """
        route = self._routes.get(url) or self._find_route(url)
        key = (route.origin, route.proxy)
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (route.start, head, len(body), body)
        connection = self._take(key)
        if connection is not None:
            try:
                response = await self._exchange(key, connection, request, watch)
            except BrokenConnectionError:
                if connection.heard or connection.cut:
                    raise
            else:
                if response.status != _IDLE_TOO_LONG:
                    return response
                response.close()
        try:
            async with asyncio.timeout(connect_timeout):
                connection = await dial(route, self._names)
        except TimeoutError as error:
            raise ConnectTimeoutError from error
        if not connection.lost:
            self._all.add(connection)
            connection.on_lost = self._forget
        return await self._exchange(key, connection, request, watch)

    async def _exchange(
        self,
        key: Key,
        connection: Connection,
        request: bytes,
        watch: Callable[[Callable[[], None]], None],
    ) -> Response:
        watch(connection.abort)
        try:
            connection.send(request)
            await connection.head()
            return Response(self, key, connection)
        except BaseException:
            connection.abort()
            raise

    def _find_route(self, url: str) -> Route:
        found = self._routes[url] = route_to(url)
        if len(self._routes) > _ROUTES:
            del self._routes[next(iter(self._routes))]
        return found

    # Keeping connections

    def give_back(self, key: Key, connection: Connection) -> None:
        """Keep a connection for the next request, as soon as its answer is complete."""
        if connection.complete:
            self._keep(key, connection)
            return
        timer = self._loop.call_later(LINGER, connection.abort)

        def ended(_: Connection) -> None:
            timer.cancel()
            self._keep(key, connection)

        def lost(one: Connection) -> None:
            timer.cancel()
            self._forget(one)

        connection.on_complete = ended
        connection.on_lost = lost

    def _keep(self, key: Key, connection: Connection) -> None:
        connection.on_complete = None
        connection.on_lost = self._forget
        if not connection.reusable:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(key, {})[connection] = None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEEP_ALIVE, self._sweep)

    def _take(self, key: Key) -> Connection | None:
        """The connection that was used last, where one is open."""
        idle = self._idle.get(key)
        if not idle:
            return None
        connection, _ = idle.popitem()
        if self._loop.time() - connection.idle_since < KEEP_ALIVE:
            return connection
        connection.abort()
        return None

    def _forget(self, connection: Connection) -> None:
        self._all.discard(connection)
        for idle in self._idle.values():
            idle.pop(connection, None)

    def _sweep(self) -> None:
        """Close what nobody has used for long."""
        self._sweeper = None
        oldest = self._loop.time() - KEEP_ALIVE
        for idle in self._idle.values():
            for connection in [one for one in idle if one.idle_since <= oldest]:
                connection.abort()
        if any(self._idle.values()):
            self._sweeper = self._loop.call_later(KEEP_ALIVE, self._sweep)

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._all:
            for connection in list(self._all):
                connection.abort()
            # The sockets close in the loop's next turns.
            await asyncio.sleep(0)


def pool() -> Pool:
    """The running loop's pool, made on first use and closed with the loop's other things."""
    scope = loop_scope()
    found: Pool | None = scope.kept.get(_POOL)
    if found is None:
        found = scope.kept[_POOL] = Pool()
        scope.at_close(found.aclose)
    return found
