"""The log's line of a run says why it ended in the words that its client got."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.wire.runs import chunks

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

CALL = {"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}}


def ending(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


class Calls(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield ending({"tool_calls": [CALL]}, "stop")


class CallsCut(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield ending({"tool_calls": [CALL]}, "length")


class Talks(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield "words"


class Late(Node):
    """Declared first, done last, and cut."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield "some"
        await asyncio.sleep(0.05)
        yield ending({"content": "more"}, "length")


class Together(ConcurrentNode):
    pass


def schema(start: type[Node], *more: NodeConfig) -> WorkflowSchema:
    nodes = more or (NodeConfig(node=start),)
    return WorkflowSchema(event_schema=OpenAIChatSchema, start=start, nodes=list(nodes))


ONE_AFTER_ANOTHER = (NodeConfig(node=Calls, connections=[Talks]), NodeConfig(node=Talks))
AT_ONCE = (
    NodeConfig(node=Together, concurrent_nodes=[Late, Talks]),
    NodeConfig(node=Late),
    NodeConfig(node=Talks),
)


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (schema(Calls), "tool_calls"),
        (schema(CallsCut), "length"),
        (schema(Calls, *ONE_AFTER_ANOTHER), "tool_calls"),
        (schema(Talks), "stop"),
        (schema(Together, *AT_ONCE), "stop"),
    ],
    ids=["calls", "cut", "calls, then words", "words", "at once"],
)
def test_it_is_the_clients_reason(
    graph: WorkflowSchema, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Flow(Workflow):
        workflow_schema = graph

    async def main() -> list[Any]:
        asked = {"messages": [{"role": "user", "content": "Hi"}]}
        return [event async for event in Flow().run_stream_async(asked)]

    caplog.set_level("INFO", "launchpad.run")
    sent = chunks(OpenAIChatEncoder().encode(asyncio.run(main())))
    assert sent[-1]["choices"][0]["finish_reason"] == told
    (logged,) = re.findall(r"finish=(\w+)", caplog.text)
    assert logged == told
