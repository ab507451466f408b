"""Nodes that never wait, never end, end too much or swallow what ends them: nobody else notices."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import httpx
import pytest
from tests.reliability.flows import Both, Watched, chain, seen
from tests.reliability.harness import CHAT, Served, chat, eventually

from launchpad.core import threads
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.task import TaskContext


class Ever(Watched):
    """Says as much as it can without ever waiting."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        while True:
            yield "x" * 1000


class Ever2(Ever):
    pass


class Hello(Watched):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "hello"


class Exits(Watched):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before"
        raise SystemExit(3)


class ExitsInCleanUp(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "hello"

    async def cleanup(self) -> NoReturn:
        raise SystemExit(4)


class AwaitsTheCancelled(Watched):
    """What it waits for was cancelled; the node was not."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before"
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone


class CancelsItself(Watched):
    """As old helpers for timeouts do."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before"
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


class CancelsItselfLater(Watched):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before"
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.02, task.cancel)
        await asyncio.Event().wait()


class Interrupts(Watched):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before"
        raise KeyboardInterrupt


class InterruptsInAThread(Watched):
    def process(self, task_context: TaskContext) -> str:
        raise KeyboardInterrupt


class InterruptsInAGenerator(Watched):
    def process(self, task_context: TaskContext) -> Iterator[str]:
        yield "before"
        raise KeyboardInterrupt


class InterruptsInCleanUp(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "hello"

    async def cleanup(self) -> NoReturn:
        raise KeyboardInterrupt


class NeverClean(Node):
    """Its clean-up waits for what never comes."""

    hanging = 0

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "hello"

    async def cleanup(self) -> None:
        type(self).hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            type(self).hanging -= 1


class Swallows(Node):
    """Goes on whoever cancels it, until it is let go."""

    let_go = threading.Event()

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "hello"
        while not self.let_go.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue


class Crossroads(BaseRouter):
    def route(self, task_context: TaskContext) -> Any:
        time.sleep(0.3)


class CleansUpSlowly(Hello):
    async def cleanup(self) -> None:
        time.sleep(0.3)  # noqa: ASYNC251  what is to be found out


class InAThread(Node):
    """Blocks its thread until it is let go."""

    started = 0
    let_go = threading.Event()

    def process(self, task_context: TaskContext) -> str:
        type(self).started += 1
        self.let_go.wait(30)
        return "done"


FLOWS = {
    "ever": chain(Ever),
    "ever-both": chain(Both, members=(Ever, Ever2)),
    "hello": chain(Hello),
    "exits": chain(Exits),
    "exits-both": chain(Both, members=(Hello, Exits)),
    "exits-clean": chain(ExitsInCleanUp),
    "cancels-itself": chain(CancelsItself),
    "cancels-itself-both": chain(Both, members=(Hello, CancelsItself)),
    "cancels-itself-later": chain(CancelsItselfLater),
    "interrupts": chain(Interrupts),
    "interrupts-both": chain(Both, members=(Hello, Interrupts)),
    "interrupts-thread": chain(InterruptsInAThread),
    "interrupts-generator": chain(InterruptsInAGenerator),
    "interrupts-clean": chain(InterruptsInCleanUp),
    "cancelled": chain(AwaitsTheCancelled),
    "cancelled-both": chain(Both, members=(Hello, AwaitsTheCancelled)),
    "never-clean": chain(NeverClean),
    "never-clean-both": chain(Both, members=(Hello, NeverClean)),
    "swallows": chain(Swallows),
    "crossroads": chain(Hello, Crossroads),
    "cleans-slowly": chain(CleansUpSlowly),
    "thread": chain(InAThread),
}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("launchpad.core.shelter.PATIENCE", 0.2)
    seen.clear()
    with Served(FLOWS, heartbeat=0.0, block_warning=0.1, shutdown_grace=0.5) as server:
        yield server


def answers(served: Served) -> bool:
    with served.post(chat("hello"), timeout=10) as stream:
        return stream.read_all()[-1].data == "[DONE]"


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("model", ["ever", "ever-both"])
def test_a_node_that_never_waits_ends_with_its_client(
    served: Served, model: str, choices: int
) -> None:
    client = served.post(chat(model, n=choices), receive_buffer=4096)
    assert client.next_event() is not None
    assert answers(served)
    time.sleep(0.2)  # the mailbox fills
    client.close()
    assert answers(served)
    eventually(lambda: served.counts().runs == 0, "its place is free", at_fault=served.tasks)
    eventually(lambda: seen.cleaned == seen.entered, "every node has cleaned up")


def test_a_node_that_never_waits_does_not_hold_up_the_end() -> None:
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=0.1) as served:
        client = served.post(chat("ever-both"), receive_buffer=4096)
        assert client.next_event() is not None
        served.stop()
        served.stop()
        served.join()
        client.close()


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize(
    "model",
    [
        *("exits", "exits-both", "cancelled", "cancelled-both"),
        *("cancels-itself", "cancels-itself-both", "cancels-itself-later"),
        *("interrupts", "interrupts-both", "interrupts-thread", "interrupts-generator"),
    ],
)
def test_what_ends_more_than_a_run_elsewhere_is_a_failure_of_its_node(
    served: Served, model: str, choices: int
) -> None:
    with served.post(chat(model, n=choices)) as stream:
        told = stream.read_all()[-1].data if stream.status == 200 else stream.read_body()
    error = json.loads(told)["error"]
    assert error["code"] == "node_failed"
    whole = httpx.post(served.url + CHAT, json=chat(model, n=choices, stream=False), timeout=20)
    assert whole.status_code == 500
    assert answers(served)


@pytest.mark.parametrize(
    ("model", "node"),
    [("exits-clean", "ExitsInCleanUp"), ("interrupts-clean", "InterruptsInCleanUp")],
)
def test_sys_exit_in_a_clean_up_is_logged_and_the_answer_stands(
    served: Served, model: str, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    with served.post(chat(model)) as stream:
        assert stream.read_all()[-1].data == "[DONE]"
    assert f"cleanup of {node} failed" in caplog.text
    assert answers(served)


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("model", ["never-clean", "never-clean-both"])
def test_a_clean_up_that_hangs_is_cancelled_once_its_client_has_left(
    served: Served, model: str, choices: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = served.post(chat(model, n=choices))
    eventually(lambda: NeverClean.hanging == choices, "its clean-up hangs")
    client.close()
    eventually(lambda: served.counts().runs == 0, "its place is free", at_fault=served.tasks)
    assert NeverClean.hanging == 0
    assert "clean-up of NeverClean still went on" in caplog.text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", ["never-clean", "swallows"])
def test_a_run_that_takes_too_long_is_told_so_whatever_its_node_does(
    model: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchpad.core.shelter.PATIENCE", 0.2)
    Swallows.let_go.clear()
    with Served(FLOWS, heartbeat=0.0, request_timeout=0.5) as served:
        try:
            if stream:
                with served.post(chat(model), timeout=10) as events:
                    while (event := events.next_event()) is not None and "error" not in event.data:
                        pass
                assert event is not None
                assert json.loads(event.data)["error"]["code"] == "run_timeout"
            else:
                body = chat(model, stream=False)
                answer = httpx.post(served.url + CHAT, json=body, timeout=10)
                assert answer.status_code == 504
                assert answer.json()["error"]["code"] == "run_timeout"
        finally:
            Swallows.let_go.set()
        eventually(lambda: served.counts().runs == 0, "its place is free", at_fault=served.tasks)


@pytest.mark.parametrize(
    ("model", "node"), [("crossroads", "Crossroads"), ("cleans-slowly", "CleansUpSlowly")]
)
def test_a_router_or_a_clean_up_that_blocks_is_named(
    served: Served, model: str, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    with served.post(chat(model)) as stream:
        stream.read_all()
    eventually(
        lambda: f"The node {node} blocked the event loop" in caplog.text, "a line in the log"
    )


def test_work_of_clients_that_left_is_not_begun(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No thread to spare, and none may be started.
    monkeypatch.setattr("launchpad.core.threads._pool", threads._Pool())
    monkeypatch.setattr("launchpad.core.threads.LIMIT", 0)
    InAThread.started = 0
    InAThread.let_go.clear()
    clients = [served.post(chat("thread"), wait_head=False) for _ in range(5)]
    eventually(lambda: served.counts().runs == 5, "they wait for a thread")
    for client in clients:
        client.close()
    eventually(lambda: served.counts().runs == 0, "their places are free")
    monkeypatch.setattr("launchpad.core.threads.LIMIT", 256)
    InAThread.let_go.set()
    assert httpx.post(served.url + CHAT, json=chat("thread", stream=False), timeout=20).is_success
    assert InAThread.started == 1


def test_threads_that_are_all_busy_are_said_in_the_log_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("launchpad.core.threads._pool", threads._Pool())
    monkeypatch.setattr("launchpad.core.threads.LIMIT", 2)
    InAThread.started = 0
    InAThread.let_go.clear()
    clients = [served.post(chat("thread"), wait_head=False) for _ in range(2)]
    eventually(lambda: InAThread.started == 2, "both threads work")
    for client in clients:
        client.close()
    eventually(lambda: served.counts().runs == 0, "nobody waits for them")
    assert "threads" not in caplog.text
    clients = [served.post(chat("thread"), wait_head=False) for _ in range(3)]
    eventually(lambda: served.counts().runs == 3, "they wait for a thread")
    assert caplog.text.count("all 2 threads for plain functions are busy") == 1
    InAThread.let_go.set()
    for client in clients:
        assert client.read_all()[-1].data == "[DONE]"
        client.close()


def test_talk_that_comes_to_no_bytes_is_silence_for_the_heartbeat() -> None:
    class Mixed(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            until = time.monotonic() + 0.8
            while time.monotonic() < until:
                yield "words that this mode leaves out "
                await asyncio.sleep(0)
            yield {"a": 1}

    with Served({"mixed": chain(Mixed)}, heartbeat=0.1) as served:
        body = chat("mixed", stream_options={"valid_json_chunks": True})
        with served.post(body) as stream:
            assert stream.read_all()[-1].data == "[DONE]"
            assert len(stream.comments) > 3
