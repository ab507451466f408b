"""Workflows of every kind that a client may leave in; what they did is in `seen`."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Seen:
    """Which nodes were made, entered and cleaned up, by class name."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.entered: Counter[str] = Counter()
        self.cleaned: Counter[str] = Counter()
        self.hold = threading.Event()


seen = Seen()


class Watched(Node):
    """Its clean-up takes two turns of the loop and a little time, as a real one's does."""

    def __init__(self, task_context: TaskContext | None = None) -> None:
        super().__init__(task_context)
        if task_context is not None:  # else somebody asks for the config only
            seen.entered[type(self).__name__] += 1

    async def cleanup(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        seen.cleaned[type(self).__name__] += 1


class Talk(Watched, AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Direct(Watched, ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Ask(Watched, AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Prepare(Watched):
    """Stands still before anything is said."""

    async def process(self, task_context: TaskContext) -> Any:
        await asyncio.Event().wait()


class Before(Watched):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "before "


class Flood(Watched):
    """Says as much as anybody takes."""

    made = 0

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        type(self).made = 0
        while True:
            yield "x" * 1000
            type(self).made += 1


class Threaded(Watched):
    """A plain function: it blocks, in a thread."""

    def process(self, task_context: TaskContext) -> Any:
        seen.hold.wait(20)
        return "done"


class Both(Watched, ConcurrentNode):
    pass


class Left(Talk):
    pass


class Right(Direct):
    pass


def chain(*nodes: type[Node], members: tuple[type[Node], ...] = ()) -> type[Workflow]:
    """A workflow of one node after another; `members` run side by side in the first."""
    configs = [
        NodeConfig(node=node, connections=list(nodes[at + 1 : at + 2]))
        for at, node in enumerate(nodes)
    ]
    if members:
        configs[0] = NodeConfig(
            node=nodes[0], connections=configs[0].connections, concurrent_nodes=list(members)
        )

    class Chain(Workflow):
        workflow_schema = WorkflowSchema(
            description=" then ".join(node.__name__ for node in nodes),
            event_schema=OpenAIChatSchema,
            start=nodes[0],
            nodes=configs,
        )

    return Chain


FLOWS: dict[str, type[Workflow]] = {
    "talk": chain(Talk),
    "direct": chain(Direct),
    "ask": chain(Ask),
    "start": chain(Prepare, Talk),
    "second": chain(Before, Prepare),
    "both": chain(Both, members=(Left, Right)),
    "flood": chain(Flood),
    "threaded": chain(Threaded),
}
