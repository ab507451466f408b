"""The watchdog against nodes that really block; nothing is asserted about how long they took."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from launchpad.observe import blocking
from launchpad.observe.blocking import BlockingWatchdog

THRESHOLD = 0.05


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    watchdog = BlockingWatchdog(asyncio.get_running_loop(), THRESHOLD)
    watchdog.start()
    yield
    watchdog.stop()


async def node(name: str, process: Callable[[], Awaitable[object]]) -> None:
    entered = blocking.enter(name)
    try:
        await process()
    finally:
        blocking.exit(entered)


class Lines(logging.Handler):
    """What the watchdog logs, as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._some = threading.Event()
        self._blamed = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._some.set()
        if self.blamed:
            self._blamed.set()

    async def any(self) -> str:
        assert await asyncio.to_thread(self._some.wait, 30)
        return self.lines[0]

    async def first(self) -> str:
        """The first that blames somebody."""
        assert await asyncio.to_thread(self._blamed.wait, 30)
        return self.blamed[0]

    @property
    def blamed(self) -> list[str]:
        """Without the lines about a loop that is slow as a whole: this machine may be busy."""
        return [line for line in self.lines if "no single node" not in line]


@pytest.fixture
def log() -> Iterator[Lines]:
    lines = Lines()
    logger = logging.getLogger("launchpad.observe.blocking")
    logger.addHandler(lines)
    yield lines
    logger.removeHandler(lines)


async def block() -> None:
    time.sleep(0.4)  # noqa: ASYNC251  what the watchdog is for


async def polite() -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)


def test_the_blocking_node_is_named_among_others(log: Lines) -> None:
    async def main() -> None:
        async with watched():
            others = [asyncio.create_task(node(f"Polite{n}", polite)) for n in range(3)]
            await asyncio.sleep(0.02)
            await asyncio.create_task(node("BlockingNode", block))
            await asyncio.gather(*others)
            line = await log.first()
        assert line.startswith("The node BlockingNode blocked the event loop for 0.")
        assert "test_blocking.py" in line
        assert " in block" in line

    asyncio.run(main())
    assert len(log.blamed) == 1


def test_a_library_below_the_node_is_told_with_the_users_line(
    log: Lines,
) -> None:
    async def parse() -> None:
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            json.loads("[" + "1," * 200_000 + "1]", parse_int=lambda text: text)

    async def main() -> str:
        async with watched():
            await node("ParsingNode", parse)
            return await log.first()

    line = asyncio.run(main())
    assert line.startswith("The node ParsingNode blocked")
    assert " in test_a_library_below_the_node_is_told_with_the_users_line" in line


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Task.get_context is from 3.12")
def test_a_task_that_the_node_started_is_told(log: Lines) -> None:
    async def start_another() -> None:
        await asyncio.create_task(block())

    async def main() -> str:
        async with watched():
            await node("StartingNode", start_another)
            return await log.first()

    assert asyncio.run(main()).startswith("A task of the node StartingNode blocked")


def test_overload_blames_no_node(log: Lines) -> None:
    async def busy() -> None:
        for _ in range(4):
            time.sleep(0.012)  # noqa: ASYNC251  short enough alone, too long together
            await asyncio.sleep(0)

    async def main() -> None:
        async with watched():
            await asyncio.gather(*(node(f"Node{n}", busy) for n in range(20)))
            await log.any()

    asyncio.run(main())
    assert log.lines
    assert log.blamed == []


def test_nodes_that_wait_raise_no_alarm(log: Lines) -> None:
    async def main() -> None:
        async with watched():
            await asyncio.gather(*(node(f"Polite{n}", polite) for n in range(5)))

    asyncio.run(main())
    assert log.blamed == []


def test_a_blocked_process_method_in_a_thread_is_fine(log: Lines) -> None:
    async def main() -> None:
        async with watched():
            await node("SyncNode", lambda: asyncio.to_thread(time.sleep, 0.3))

    asyncio.run(main())
    assert log.blamed == []


def test_without_a_watchdog_nothing_happens(log: Lines) -> None:
    asyncio.run(node("BlockingNode", block))
    assert blocking.enter("NoLoop") is None
    assert log.blamed == []


def test_a_loop_that_closes_without_stop_ends_the_watch(log: Lines) -> None:
    async def main() -> BlockingWatchdog:
        watchdog = BlockingWatchdog(asyncio.get_running_loop(), THRESHOLD)
        watchdog.start()
        blocking.enter("LeftNode")
        return watchdog

    watchdog = asyncio.run(main())
    watchdog._thread.join()
    assert log.blamed == []


def test_a_node_that_ends_in_the_turn_it_blocked_is_still_named(log: Lines) -> None:
    async def main() -> str:
        async with watched():
            await node("BlockingNode", block)
            time.sleep(0.1)  # noqa: ASYNC251  still the same turn of the loop
            return await log.first()

    assert asyncio.run(main()).startswith("The node BlockingNode blocked")


def test_a_node_is_watched_after_the_thread_fell_asleep(log: Lines) -> None:
    async def main() -> None:
        async with watched():
            await node("ShortNode", lambda: asyncio.sleep(0))
            await asyncio.sleep(0.2)
            await asyncio.create_task(node("BlockingNode", block))
            assert (await log.first()).startswith("The node BlockingNode blocked")

    asyncio.run(main())


def test_what_runs_behind_the_blocking_node_hides_it_not(log: Lines) -> None:
    async def block_and_leave_more() -> None:
        asyncio.get_running_loop().call_soon(time.sleep, 2 * THRESHOLD)
        await block()

    async def main() -> str:
        async with watched():
            await asyncio.create_task(node("BlockingNode", block_and_leave_more))
            return await log.first()

    assert asyncio.run(main()).startswith("The node BlockingNode blocked")
