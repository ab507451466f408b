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
from launchpad.events import (
    RunEvent,
)


class Event(BaseModel):
    text: str = "hello"


def flow(*configs: NodeConfig, start: type[Node] | None = None) -> Workflow:
    schema = WorkflowSchema(event_schema=Event, start=start or configs[0].node, nodes=configs)
    made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
    return made()


def events_of(workflow: Workflow, event: Any = None) -> list[RunEvent]:
    async def collect() -> list[RunEvent]:
        return [event_ async for event_ in workflow.run_stream_async(event or {})]

    return asyncio.run(collect())


class Words(Node):
    words: tuple[Any, ...] = ("Hel", "lo")

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        for word in self.words:
            yield word
