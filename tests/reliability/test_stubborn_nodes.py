"""Nodes that do not let go: whatever they do, signals end the processes that run them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Serve, Served, descendants, serve, wait_until_gone

from launchpad.testing.sse import Stream, open_stream

from .harness import CHAT, chat, eventually

__all__ = ["serve"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FLOWS = """
import asyncio
import time
from collections.abc import AsyncIterator

from launchpad.cli import reload, workers
from launchpad.server import graceful
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

graceful.LAST_WORDS = graceful.HURRIED_WORDS = graceful.STUBBORN = 0.3
graceful.HURRY = 3.0
workers.HURRY = workers.MARGIN = 0.5
reload.PATIENCE = 4.0


class Swallow(Node):
    async def process(self, task_context) -> AsyncIterator[str]:
        yield "word "
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass


class Block(Node):
    async def process(self, task_context) -> AsyncIterator[str]:
        yield "word "
        await asyncio.sleep(0.1)
        print("blocks", flush=True)
        time.sleep(3600)


class Wait(Node):
    async def process(self, task_context) -> AsyncIterator[str]:
        yield "word "
        await asyncio.sleep(3600)


class Swallowing(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Swallow, nodes=[NodeConfig(node=Swallow)])


class Blocking(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Block, nodes=[NodeConfig(node=Block)])


class Waiting(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Wait, nodes=[NodeConfig(node=Wait)])
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    path = tmp_path / "flows.py"
    path.write_text(FLOWS)
    return path


def start(serve: Serve, *options: str, **more: str) -> Served:
    served = serve("flows.py", *options, **({"LAUNCHPAD_HEARTBEAT": "0"} | more))
    assert served.url
    return served


def ask(served: Served, workflow: str) -> Stream:
    stream = open_stream(served.url + CHAT, chat(workflow), timeout=60)
    assert stream.next_event() is not None
    return stream


def servers(served: Served) -> set[int]:
    """The processes that serve, below a supervisor."""
    return {
        pid
        for pid in descendants(served.process.pid)
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    }


ALONE_AND_MANY = pytest.mark.parametrize("options", [(), ("--workers", "2")])


@ALONE_AND_MANY
def test_one_that_swallows_its_cancellation(
    flows: Path, serve: Serve, options: tuple[str, ...]
) -> None:
    served = start(serve, *options, LAUNCHPAD_SHUTDOWN_GRACE="0.1")
    stream = ask(served, "swallowing")
    everyone = descendants(served.process.pid)
    assert served.end() == 0
    wait_until_gone(everyone)
    assert "shutting down" in stream.read_all()[-1].data
    stream.close()
    served.wait_for("ended although work goes on: launchpad:")


@ALONE_AND_MANY
def test_one_that_blocks_the_loop_and_a_second_signal(
    flows: Path, serve: Serve, options: tuple[str, ...]
) -> None:
    served = start(serve, *options, LAUNCHPAD_SHUTDOWN_GRACE="600")
    stream = ask(served, "blocking")
    served.wait_for("blocks")
    everyone = descendants(served.process.pid)
    served.process.send_signal(signal.SIGTERM)
    time.sleep(1)  # signals that come too close after each other are one
    assert served.end() == 0
    wait_until_gone(everyone)
    stream.close()


def test_a_worker_that_hears_nothing_is_killed(flows: Path, serve: Serve) -> None:
    served = start(serve, "--workers", "2", LAUNCHPAD_SHUTDOWN_GRACE="600")
    ask(served, "waiting").close()
    everyone = descendants(served.process.pid)
    stopped = min(servers(served))
    os.kill(stopped, signal.SIGSTOP)
    served.process.send_signal(signal.SIGTERM)
    eventually(lambda: len(servers(served)) == 1, "the other worker's end")
    assert served.end() == 0
    wait_until_gone(everyone)
    assert "does not end and is killed" in served.output


@pytest.mark.parametrize("options", [("--workers", "2"), ("--reload",)])
def test_nobody_outlives_a_killed_supervisor(
    flows: Path, serve: Serve, options: tuple[str, ...]
) -> None:
    served = start(serve, *options, LAUNCHPAD_SHUTDOWN_GRACE="0.1")
    stream = ask(served, "swallowing")
    everyone = descendants(served.process.pid)
    served.end(signal.SIGKILL)
    wait_until_gone(everyone)
    stream.close()


def test_a_reload_kills_who_blocks_it(flows: Path, serve: Serve) -> None:
    served = start(serve, "--reload", LAUNCHPAD_SHUTDOWN_GRACE="600")
    stream = ask(served, "blocking")
    served.wait_for("blocks")
    flows.write_text(FLOWS + "\n")
    served.wait_for("Started server process.*(?s:.)*Started server process")
    ask(served, "waiting").close()
    stream.close()
    assert served.end() == 0


def test_a_reloads_server_that_was_killed_is_replaced(flows: Path, serve: Serve) -> None:
    served = start(serve, "--reload")
    ask(served, "waiting").close()
    (killed,) = servers(served)
    os.kill(killed, signal.SIGKILL)
    served.wait_for("the server died")
    ask(served, "waiting").close()
    assert served.end() == 0


def test_workers_accept_nobody_after_a_signal(flows: Path, serve: Serve) -> None:
    served = start(serve, "--workers", "2", LAUNCHPAD_SHUTDOWN_GRACE="60")
    stream = ask(served, "waiting")
    port = int(served.url.rpartition(":")[2])

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it fell into the instant of the listener's end
        return False

    served.process.send_signal(signal.SIGTERM)
    eventually(refused, "no more connections")
    assert served.process.poll() is None, "the stream goes on"
    assert served.end() == 0
    stream.close()
