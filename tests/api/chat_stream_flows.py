"""Workflows for the tests of `/chat/stream`, and how those read its events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import httpx

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import ReasoningDelta, RefusalDelta
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

from .conftest import EchoNode, GatedNode, SilentNode, TicketNode, one_node

PLAIN, META = "/chat/stream", "/chat/stream-meta"


class ThinkingNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield ReasoningDelta("", "let me see")
        yield "Fine."
        yield RefusalDelta("", " But no.")


class RecordNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield {"said": task_context.event.get_message()}


class PairNode(ConcurrentNode):
    pass


class PromptNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield json.dumps([[one.role, one.content] for one in task_context.event.messages])


class Customer(OpenAIChatSchema):
    customer: str = "nobody"
    visits: int = 0


class CustomerNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        event: Customer = task_context.event
        yield f"{event.customer}, {event.visits}, {event.temperature}"


class Order(Customer):
    customer: str


def flow(*configs: NodeConfig) -> type[Workflow]:
    class Made(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema, start=configs[0].node, nodes=configs
        )

    return Made


class Shapes(Enum):
    ECHO = one_node(EchoNode)
    THINKING = one_node(ThinkingNode)
    SERIES = flow(NodeConfig(node=EchoNode, connections=[RecordNode]), NodeConfig(node=RecordNode))
    AT_ONCE = flow(NodeConfig(node=PairNode, concurrent_nodes=[EchoNode, ThinkingNode]))
    PROMPT = one_node(PromptNode)
    CUSTOMER = one_node(CustomerNode, Customer)
    ORDER = one_node(CustomerNode, Order)
    GATED = one_node(GatedNode)
    SILENT = one_node(SilentNode)
    TICKETS = one_node(TicketNode)


def events_of(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    lines = [line for frame in text.split("\n\n") for line in frame.split("\n") if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line[:4] != "id: "]


def ask(url: str, message: str = "hello big world", **fields: Any) -> list[Any]:
    answer = httpx.post(url, json={"message": message, **fields}, timeout=30)
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def words(events: list[Any]) -> str:
    return "".join(event.get("token", "") for event in events)
