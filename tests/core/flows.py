"""Workflows for the tests of the core, and what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import RunEvent
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Event(BaseModel):
    text: str = "hello"


def flow(
    *configs: NodeConfig,
    start: type[Node] | None = None,
    event_schema: type[BaseModel] = Event,
) -> Workflow:
    first = start or configs[0].node
    schema = WorkflowSchema(event_schema=event_schema, start=first, nodes=configs)
    made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
    return made()


def chat_flow(*nodes: type[Node] | NodeConfig) -> Workflow:
    """Of nodes that answer a chat request; those without a config of their own lead to the next."""
    configs = [
        node
        if isinstance(node, NodeConfig)
        else NodeConfig(node=node, connections=[then] if isinstance(then, type) else [])
        for node, then in zip(nodes, [*nodes[1:], None], strict=True)
    ]
    return flow(*configs, event_schema=OpenAIChatSchema)


def asked(text: str = "one two three", **fields: Any) -> dict[str, Any]:
    """A chat request."""
    return {"messages": [{"role": "user", "content": text}], **fields}


def events_of(workflow: Workflow, event: Any = None) -> list[RunEvent]:
    async def collect() -> list[RunEvent]:
        return [event_ async for event_ in workflow.run_stream_async(event or {})]

    return asyncio.run(collect())


def chat_events_of(workflow: Workflow, event: Any = None) -> list[RunEvent]:
    return events_of(workflow, event or asked())


class Words(Node):
    words: tuple[Any, ...] = ("Hel", "lo")

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        for word in self.words:
            yield word
