"""A node that blocks the event loop, and one that may block, through the real server."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.testing.sse import open_stream

from .flows import chain
from .harness import CHAT, Served, chat, eventually

THREADS: list[str] = []
AT_WORK = threading.Event()
GO_ON = threading.Event()


class Blocks(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "one "
        time.sleep(0.5)  # noqa: ASYNC251  (that is the fault)
        yield "two"


class MayBlock(Node):
    def process(self, task_context: TaskContext) -> Any:
        THREADS.append(threading.current_thread().name)
        AT_WORK.set()
        GO_ON.wait(20)
        return "done"


class MayBlockAndSpeak(Node):
    def process(self, task_context: TaskContext) -> Iterator[str]:
        THREADS.append(threading.current_thread().name)
        yield "one "
        AT_WORK.set()
        GO_ON.wait(20)
        yield "two"


class Quick(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "quick"


FLOWS = {
    "blocks": chain(Blocks),
    "thread": chain(MayBlock),
    "thread-speaks": chain(MayBlockAndSpeak),
    "quick": chain(Quick),
}


@pytest.fixture(autouse=True)
def closed_doors() -> Iterator[None]:
    THREADS.clear()
    AT_WORK.clear()
    GO_ON.clear()
    yield
    GO_ON.set()


def test_it_is_named_with_its_time_and_its_line(caplog: pytest.LogCaptureFixture) -> None:
    with Served(FLOWS, heartbeat=0.0, block_warning=0.1) as served:
        with served.post(chat("blocks")) as client:
            assert client.read_all()[-1].data == "[DONE]"

        def lines() -> list[str]:
            named = "launchpad.observe.blocking"
            return [one.getMessage() for one in caplog.records if one.name == named]

        eventually(lambda: any("The node Blocks" in line for line in lines()), "its line")
    (line,) = [line for line in lines() if "The node Blocks" in line]
    found = re.search(r"The node Blocks blocked the event loop for ([\d.]+) s", line)
    assert found is not None
    assert float(found[1]) >= 0.25
    assert "test_blocking.py" in line


@pytest.mark.parametrize("model", ["thread", "thread-speaks"])
def test_a_plain_function_runs_in_a_thread_and_delays_nobody(model: str) -> None:
    with Served(FLOWS, heartbeat=0.0) as served:
        blocked = open_stream(served.url + CHAT, chat(model), wait_head=False)
        assert AT_WORK.wait(20)
        with served.post(chat("quick")) as other:
            assert other.read_all()[-1].data == "[DONE]"
        assert not GO_ON.is_set(), "it was answered while the other one stood still"
        GO_ON.set()
        blocked.read_head()
        events = blocked.read_all()
        assert events[-1].data == "[DONE]"
        blocked.close()
    assert THREADS
    assert "served" not in THREADS, "not the event loop's thread"


def test_more_at_once_than_asyncios_pool_has_threads() -> None:
    """And what that pool is needed for, name lookups for instance, is not held up by them."""
    with Served(FLOWS, heartbeat=0.0) as served:
        clients = [
            open_stream(served.url + CHAT, chat("thread"), wait_head=False) for _ in "x" * 64
        ]
        eventually(lambda: len(THREADS) == 64, "all of them at work")
        GO_ON.set()
        for client in clients:
            client.read_head()
            assert client.read_all()[-1].data == "[DONE]"
            client.close()


def test_a_function_that_never_returns_does_not_hold_up_the_end() -> None:
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=0.1) as served:
        client = open_stream(served.url + CHAT, chat("thread"), wait_head=False)
        assert AT_WORK.wait(20)
        served.stop()
        served.join(15)
        client.read_head()
        assert client.status == 503
        client.close()
        assert not GO_ON.is_set()
