"""A process that stands still for a while: nobody's healthy stream is taken for a silent one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cli.conftest import Serve, Served, serve

from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import Stream, open_stream
from launchpad.testing.steps import Repeat

from .harness import CHAT, chat

__all__ = ["serve"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")

TOKENS = 150
PACE = 0.02
PAUSE = 1.2
"""Seconds: above the timeouts of these tests, and less than the tokens take."""
FLOWS = """
import time
from collections.abc import AsyncIterator

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def flow(node):
    return WorkflowSchema(
        event_schema=OpenAIChatSchema, start=node, nodes=[NodeConfig(node=node)])


class Talk(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Claude(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_provider=ModelProvider.ANTHROPIC, model_name="claude")


class Flood(Node):
    async def process(self, task_context) -> AsyncIterator[str]:
        for _ in range(6000):
            yield "x" * 1000


class Block(Node):
    async def process(self, task_context) -> AsyncIterator[str]:
        time.sleep(1.2)
        yield "done"


class Talking(Workflow):
    workflow_schema = flow(Talk)


class Directly(Workflow):
    workflow_schema = flow(Direct)


class Claudes(Workflow):
    workflow_schema = flow(Claude)


class Flooding(Workflow):
    workflow_schema = flow(Flood)


class Blocking(Workflow):
    workflow_schema = flow(Block)
"""


@pytest.fixture
def served(tmp_path: Path, serve: Serve, upstream: ScriptedUpstream) -> Served:
    (tmp_path / "flows.py").write_text(FLOWS)
    given = {
        "LAUNCHPAD_MODEL": "openai:scripted",
        "LAUNCHPAD_HEARTBEAT": "0",
        "LAUNCHPAD_FIRST_TOKEN_TIMEOUT": "0.8",
        "LAUNCHPAD_STALL_TIMEOUT": "0.8",
        "LAUNCHPAD_SEND_TIMEOUT": "0.8",
        "OPENAI_BASE_URL": upstream.base_url,
        "ANTHROPIC_BASE_URL": upstream.base_url.removesuffix("/v1"),
        "ANTHROPIC_API_KEY": "k",
    }
    running = serve("flows.py", **given)
    assert running.url
    return running


def stop_for_a_while(served: Served) -> None:
    os.kill(served.process.pid, signal.SIGSTOP)
    time.sleep(PAUSE)
    os.kill(served.process.pid, signal.SIGCONT)


def block_for_a_while(served: Served) -> None:
    assert served.ask("please", "blocking") == "done"


PAUSES = pytest.mark.parametrize("pause", [stop_for_a_while, block_for_a_while])


@PAUSES
def test_an_upstream_that_went_on_is_not_silent(
    served: Served, upstream: ScriptedUpstream, pause: object
) -> None:
    assert callable(pause)
    models = ["talking", "directly", "claudes"] * 2
    upstream.script_all(Repeat("t{i} ", TOKENS, pace=PACE))
    with ExitStack() as opened, ThreadPoolExecutor(len(models)) as readers:
        streams: list[Stream] = []
        for model in models:
            stream = open_stream(served.url + CHAT, chat(model), timeout=60)
            streams.append(opened.enter_context(stream))
            assert stream.next_event() is not None
        pause(served)
        lasts = list(readers.map(lambda one: one.read_all()[-1].data, streams))
        assert lasts == ["[DONE]"] * len(models)


@PAUSES
def test_a_client_that_went_on_reading_is_not_stuck(served: Served, pause: object) -> None:
    """It takes what the kernel holds for it, while nobody looks."""
    assert callable(pause)

    def read() -> str:
        size = 0
        with open_stream(served.url + CHAT, chat("flooding"), receive_buffer=16384) as stream:
            begun.wait(30)
            while some := stream.socket.recv(8192):
                size += len(some)
                time.sleep(0.002)
                if some.endswith(b"0\r\n\r\n"):
                    return "complete"
        return f"cut after {size} bytes"

    count = 4
    begun = threading.Barrier(count + 1)
    with ThreadPoolExecutor(count) as readers:
        outcomes = [readers.submit(read) for _ in range(count)]
        begun.wait(30)
        time.sleep(0.5)
        pause(served)
        assert [one.result(60) for one in outcomes] == ["complete"] * count
    assert "cut off" not in served.output
