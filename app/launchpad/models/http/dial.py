"""Opening a connection: addresses of a host, the proxy in between, TLS."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

from launchpad.models.http.connection import BrokenConnectionError, Connection
from launchpad.models.http.names import Names, SocketAddress
from launchpad.models.http.route import Address, Route, tls_context

_NEXT_ADDRESS = 0.25
"""Seconds until the next address of a host is tried beside the one before (RFC 8305)."""
_LONGEST_HEAD = 16 * 1024


class ProxyRefusedError(ConnectionError):
    """The proxy did not open a tunnel. The message holds its status line."""


async def dial(route: Route, names: Names) -> Connection:
    """Connect as `route` says; cancelling it leaves no socket open.

    Raises `ConnectionRefusedError` and other `OSError`s, TLS failures among them.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    if route.proxy is None:
        await _connect(loop, names, route.origin, connection)
    elif route.tunnel:
        await _connect_through(loop, names, route.proxy, route.origin, connection)
    else:
        await _connect(loop, names, route.proxy, connection)
    return connection


async def _connect(
    loop: asyncio.AbstractEventLoop, names: Names, to: Address, protocol: asyncio.Protocol
) -> asyncio.BaseTransport:
    """Bind `protocol` to a connection to `to`."""
    tls: dict[str, Any] = {}
    if to.tls:
        tls = {"ssl": tls_context(), "server_hostname": to.host}
    if _is_address(to.host):
        transport, _ = await loop.create_connection(lambda: protocol, to.host, to.port, **tls)
        return transport
    sock = await _first_to_connect(loop, await names.addresses(to.host, to.port))
    try:
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock, **tls)
    except BaseException:
        sock.close()
        raise
    return transport


async def _first_to_connect(
    loop: asyncio.AbstractEventLoop, addresses: list[SocketAddress]
) -> socket.socket:
    """Try the addresses one after the other, each a little after the last; the first wins."""
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_open_socket(loop, *waiting.pop())))
            done, running = await asyncio.wait(
                running,
                timeout=_NEXT_ADDRESS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner: socket.socket | None = None
            for task in done:
                error = task.exception()
                if error is None and winner is None:
                    winner = task.result()
                elif error is None:
                    task.result().close()
                elif isinstance(error, OSError):
                    failure = failure or error
                else:
                    raise error
            if winner is not None:
                return winner
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_late)
    raise failure or OSError("the host has no address")


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """An attempt that connected although it had been cancelled."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _open_socket(
    loop: asyncio.AbstractEventLoop, family: socket.AddressFamily, address: Any
) -> socket.socket:
    # Named TCP, so that asyncio's own loop turns Nagle's algorithm off.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_through(
    loop: asyncio.AbstractEventLoop,
    names: Names,
    proxy: Address,
    origin: Address,
    connection: Connection,
) -> None:
    """Ask the proxy for a tunnel, and speak TLS with the origin inside it."""
    tunnel = _Tunnel(loop)
    transport = cast("asyncio.Transport", await _connect(loop, names, proxy, tunnel))
    try:
        login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy.login else ""
        name = origin.authority
        transport.write(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n{login}\r\n".encode())
        await tunnel.opened
        inner = await loop.start_tls(
            transport, connection, tls_context(), server_hostname=origin.host
        )
    except BaseException:
        transport.abort()
        raise
    if inner is None:
        raise BrokenConnectionError("the proxy closed the connection")
    connection.connection_made(inner)


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.opened.done():
            return
        if b"\r\n\r\n" in self._head:
            status, _, _ = self._head.partition(b"\r\n")
            words = status.split(b" ", 2)
            if len(words) > 1 and words[1].startswith(b"2"):
                self.opened.set_result(None)
                return
            said = status[:100].decode("latin-1")
            self.opened.set_exception(ProxyRefusedError(f"the proxy said {said!r}"))
        elif len(self._head) > _LONGEST_HEAD:
            self.opened.set_exception(ProxyRefusedError("the proxy sent something else than HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(exc or BrokenConnectionError("the proxy closed"))
            # Where nobody waits any more, that is no failure of its own.
            self.opened.exception()


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False
