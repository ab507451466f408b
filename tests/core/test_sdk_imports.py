"""Where another provider's SDK is imported, in a process that has not done it yet."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from launchpad.core.nodes.base import Node
from launchpad.core.schema import WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

PROGRAM = """
import asyncio, sys, threading
from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.{file} import {base}
from launchpad.core.schema import WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.errors import LaunchpadError
from launchpad.workflows.examples.streaming.schema import OpenAIChatSchema

class Claude({base}):
    def get_agent_config(self):
        return AgentConfig(
            model_provider=ModelProvider.ANTHROPIC,
            model_name="m",
            api_key="k",
            base_url="http://127.0.0.1:1",
        )

class ClaudeWorkflow(Workflow):
    workflow_schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Claude)

class Watching:
    def find_spec(self, name, path=None, target=None):
        if name == "anthropic":
            print("on the loop" if threading.current_thread() is loops else "in a thread")

async def main():
    try:
        await ClaudeWorkflow().run_async({{"messages": [{{"role": "user", "content": "Hi"}}]}})
    except LaunchpadError as error:
        print(error)

loops = threading.current_thread()
sys.meta_path.insert(0, Watching())
asyncio.run(main())
"""


@pytest.mark.skipif(importlib.util.find_spec("anthropic") is None, reason="anthropic is an extra")
@pytest.mark.parametrize(
    ("file", "base"),
    [
        ("agent_streaming_node", "AgentStreamingNode"),
        ("agent", "AgentNode"),
        ("model_streaming_node", "ModelStreamingNode"),
    ],
)
def test_the_first_run_imports_it_in_a_thread(file: str, base: str) -> None:
    program = PROGRAM.format(file=file, base=base)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True
    )
    *imports, said = ended.stdout.splitlines()
    assert set(imports) == {"in a thread"}
    assert "could not be reached" in said


@pytest.mark.parametrize("first_leaves", [False, True])
def test_of_those_that_come_at_once_one_imports_it(first_leaves: bool) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    class Heavy(Node):
        prepared = 0

        def imports_sdk(self) -> bool:
            return True

        def prepare(self) -> bool:
            Heavy.prepared += 1
            begun.release()
            return may_end.wait(20)

        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "word"

    class Flow(Workflow):
        workflow_schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Heavy)

    async def run() -> object:
        request = {"messages": [{"role": "user", "content": "Hi"}]}
        return (await Flow().run_async(request)).get_output(Heavy)

    async def main() -> None:
        first, *others = [asyncio.create_task(run()) for _ in range(5)]
        assert await asyncio.to_thread(begun.acquire, timeout=20)
        if first_leaves:
            first.cancel()
            await asyncio.wait({first})
            assert await asyncio.to_thread(begun.acquire, timeout=20)
        may_end.set()
        assert await asyncio.gather(*others) == ["word"] * 4
        assert first_leaves or await first == "word"
        assert Heavy.prepared == (2 if first_leaves else 1)

    asyncio.run(main())
