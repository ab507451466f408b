"""Addresses of host names, asked for once a minute."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

_KNOWN_FOR = 60.0
"""Seconds; what a load balancer's short-lived records allow for."""
_HOSTS = 256

SocketAddress = tuple[socket.AddressFamily, Any]


class Names:
    """The resolver of one event loop. Many connections that open at once ask once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int], tuple[float, asyncio.Task[list[SocketAddress]]]] = {}

    async def addresses(self, host: str, port: int) -> list[SocketAddress]:
        """Where `host` is, IPv6 and IPv4 in turns, at least one. Raises `OSError`."""
        key = (host, port)
        until, asked = self._known.get(key, (0.0, None))
        if asked is None or until < self._loop.time():
            asked = self._loop.create_task(self._ask(host, port))
            asked.add_done_callback(lambda done: self._forget_failed(key, done))
            self._known[key] = (self._loop.time() + _KNOWN_FOR, asked)
            if len(self._known) > _HOSTS:
                del self._known[next(iter(self._known))]
        return await asyncio.shield(asked)

    def _forget_failed(self, key: tuple[str, int], done: asyncio.Task[list[SocketAddress]]) -> None:
        # Here, because nobody may be left to hear of it.
        if done.cancelled() or done.exception() is not None:
            self._known.pop(key, None)

    async def _ask(self, host: str, port: int) -> list[SocketAddress]:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ones = [(family, address) for family, _, _, _, address in found]
        first = [one for one in ones if one[0] == ones[0][0]]
        second = [one for one in ones if one[0] != ones[0][0]]
        turns: list[SocketAddress] = []
        for index in range(max(len(first), len(second))):
            turns += first[index : index + 1] + second[index : index + 1]
        return turns
