"""Launchpad's subject: workflows as document 001's user would write them, on the bench's upstream.

`launchpad serve` takes this file. Environment: BENCH_UPSTREAM is the upstream's base URL.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.workflows.examples.streaming.schema import OpenAIChatSchema
from launchpad.workflows.workflow_registry import WorkflowRegistry as Shipped

UPSTREAM = os.environ["BENCH_UPSTREAM"]


def config(output_type: type) -> AgentConfig:
    return AgentConfig(
        model_provider=ModelProvider.OPENAI_COMPATIBLE,
        model_name="bench",
        base_url=UPSTREAM,
        api_key="bench",
        output_type=output_type,
    )


class TextNode(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(str)

    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        event: OpenAIChatSchema = task_context.event
        async with self.agent.run_stream(user_prompt=event.get_message()) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class Item(BaseModel):
    title: str
    score: float
    done: bool


class StructuredNode(AgentStreamingNode):
    class OutputType(AgentStreamingNode.OutputType):
        thinking: str
        items: list[Item]
        reply: str

    def get_agent_config(self) -> AgentConfig:
        return config(self.OutputType)

    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        event: OpenAIChatSchema = task_context.event
        async with self.agent.run_stream(user_prompt=event.get_message()) as result:
            async for chunk in self.stream_structured_deltas(result):
                yield chunk


class PlainNode(Node):
    """No agent: what Launchpad itself costs a request."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield " tok~"


class Text(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=TextNode, nodes=[NodeConfig(node=TextNode)]
    )


class Structured(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=StructuredNode, nodes=[NodeConfig(node=StructuredNode)]
    )


class Plain(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=PlainNode, nodes=[NodeConfig(node=PlainNode)]
    )


class WorkflowRegistry(Enum):
    TEXT = Text
    STRUCTURED = Structured
    PLAIN = Plain
    CHAT = Shipped.CHAT.value
