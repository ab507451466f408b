"""Addresses of names: asked for once, for all who want them, and again after a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from launchpad.models.http import names
from launchpad.models.http.names import Names

V4, V6 = socket.AF_INET, socket.AF_INET6


class System:
    """Stands in for the system's resolver, and for the loop's clock."""

    def __init__(self, loop: Any) -> None:
        self.asked: list[str] = []
        self.failing = False
        self.found: list[tuple[socket.AddressFamily, str]] = [(V4, "1")]
        self.answering = asyncio.Event()
        self.answering.set()
        self.now = 1000.0
        loop.getaddrinfo = self.getaddrinfo
        began = loop.time()
        now = loop.time
        loop.time = lambda: self.now + now() - began

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        await self.answering.wait()
        if self.failing:
            raise socket.gaierror(host)
        return [(family, None, None, "", (at, port)) for family, at in self.found]


def run(main: Callable[[Names, System], Awaitable[None]]) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        await main(Names(loop), System(loop))

    asyncio.run(go())


def test_both_families_in_turns_the_system_s_first_one_first() -> None:
    async def main(known: Names, system: System) -> None:
        system.found = [(V6, "a"), (V6, "b"), (V6, "c"), (V4, "1"), (V4, "2")]
        order = [address[0] for _, address in await known.addresses("host", 80)]
        assert order == ["a", "1", "b", "2", "c"]
        system.found = [(V4, "1"), (V6, "a"), (V6, "b")]
        order = [address[0] for _, address in await known.addresses("other", 80)]
        assert order == ["1", "a", "b"]

    run(main)


def test_who_asks_meanwhile_or_soon_asks_nobody() -> None:
    async def main(known: Names, system: System) -> None:
        system.answering.clear()
        waiting = [asyncio.create_task(known.addresses("host", 80)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        system.answering.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert await waiting[1] == await waiting[2] == [(V4, ("1", 80))]
        system.now += names._KNOWN_FOR - 10
        await known.addresses("host", 80)
        assert system.asked == ["host"]
        system.now += 10
        system.found = [(V4, "2")]
        assert await known.addresses("host", 80) == [(V4, ("2", 80))]
        assert await known.addresses("host", 81) == [(V4, ("2", 81))]
        assert system.asked == ["host"] * 3

    run(main)


def test_a_failure_is_told_to_all_and_forgotten() -> None:
    async def main(known: Names, system: System) -> None:
        system.failing = True
        for outcome in await asyncio.gather(
            *(known.addresses("host", 80) for _ in range(2)), return_exceptions=True
        ):
            assert isinstance(outcome, OSError)
        system.answering.clear()
        left = asyncio.create_task(known.addresses("host", 80))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        system.answering.set()
        await asyncio.sleep(0.01)
        system.failing = False
        assert await known.addresses("host", 80)
        assert system.asked == ["host"] * 3

    run(main)


def test_the_names_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_HOSTS", 2)

    async def main(known: Names, system: System) -> None:
        for host in ("a", "b", "c", "b", "c", "a"):
            await known.addresses(host, 80)
        assert system.asked == ["a", "b", "c", "a"]

    run(main)
