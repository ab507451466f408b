"""Runs that end early: cancelled, timed out, interrupted, left with their loop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.flows import Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import (
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
)
from launchpad.stream.run_stream import EventStream


# Made when they are raised: a parameter lives on, and with it the frames of who has raised it.
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_a_node_raises_beside_exceptions_ends_its_run_and_nothing_else(
    error: type[BaseException],
) -> None:
    class Exits(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            raise error(3)

    events = events_of(flow(NodeConfig(node=Exits)))
    assert TextDelta("Exits", "before") in events
    assert isinstance(events[-1], RunFailed)


def test_who_cancels_run_async_sees_it_cancelled() -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> Any:
            await asyncio.Event().wait()

    class Both(ConcurrentNode):
        pass

    async def main(workflow: Workflow) -> None:
        running = asyncio.create_task(workflow.run_async({}))
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()

    asyncio.run(main(flow(NodeConfig(node=Waiting))))
    asyncio.run(main(flow(NodeConfig(node=Both, concurrent_nodes=[Waiting]))))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_timeout_around_concurrent_nodes_is_a_timeout(streamed: bool) -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> Any:
            await asyncio.Event().wait()

    class Within(ConcurrentNode):
        async def process(self, task_context: TaskContext) -> Any:
            try:
                async with asyncio.timeout(0.01):
                    await self.execute_nodes_concurrently(task_context)
            except TimeoutError:
                return "in time"

    workflow = flow(NodeConfig(node=Within, concurrent_nodes=[Waiting, Words]))
    if streamed:
        assert isinstance(events_of(workflow)[-1], RunFinished)
    else:
        assert workflow.run({}).get_output(Within) == "in time"


def test_the_end_of_its_loop_is_no_failure_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "waiting"
            await asyncio.Event().wait()

    class Both(ConcurrentNode):
        pass

    async def main() -> list[EventStream]:
        kept = [
            flow(NodeConfig(node=Waiting)).run_stream_async({}),
            flow(NodeConfig(node=Both, concurrent_nodes=[Waiting])).run_stream_async({}),
        ]
        for stream in kept:
            assert isinstance(await anext(stream), RunStarted)
        return kept

    kept = asyncio.run(main())
    # Another test of this process may have had the log say more.
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    del kept


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself SIGINT")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_within_a_node_interrupts_asyncio_run(times: int) -> None:
    class Interrupted(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)

    # Whoever runs the tests in the background may have them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            events_of(flow(NodeConfig(node=Interrupted)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_loop_s_end_ends_runs_that_nobody_reads_beside_a_clean_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Floods(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            while True:
                yield "more "

    class Cleans(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "first"
            await asyncio.sleep(60)

        async def cleanup(self) -> None:
            await asyncio.sleep(0.01)

    kept: list[EventStream] = []

    async def leave_them() -> None:
        for node in (Floods, Cleans, Floods):
            kept.append(flow(NodeConfig(node=node)).run_stream_async({}))
            await kept[-1].batch()
        await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(leave_them(), 10))
    assert len(kept) == 3
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_keyboard_interrupt_of_a_node_s_own_is_its_failure() -> None:
    class Interrupts(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            raise KeyboardInterrupt

    failure = events_of(flow(NodeConfig(node=Interrupts)))[-1]
    assert isinstance(failure, RunFailed)
    assert failure.code == "node_failed"
