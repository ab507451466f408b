"""A server with small plain workflows, whose words and faults the tests know."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from launchpad.api.app import create_app
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import UpstreamError
from launchpad.settings import Settings
from launchpad.testing.server import Server, serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class EchoNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        for word in task_context.event.get_message().split(" "):
            yield word + " "


class BrokenNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        if "late" in task_context.event.get_message():
            yield "partly "
        raise ValueError("secret internals")


class LimitedNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        raise UpstreamError("Slow down.", status=429, retry_after=7)
        yield ""


class Gates:
    """What a test and a node on another thread tell each other."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.cleaned = threading.Event()


gates = Gates()


class GatedNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "first"
        gates.entered.set()
        await asyncio.to_thread(gates.release.wait, 30)
        yield " last"

    async def cleanup(self) -> None:
        gates.cleaned.set()


class SilentNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        gates.entered.set()
        await asyncio.Event().wait()
        yield ""

    async def cleanup(self) -> None:
        gates.cleaned.set()


class Ticket(BaseModel):
    text: str

    @classmethod
    def from_chat(cls, request: OpenAIChatSchema) -> Ticket:
        return cls(text=request.get_message())


class TicketNode(Node):
    async def process(self, task_context: TaskContext) -> Any:
        self.save_output(f"ticket: {task_context.event.text}")


class Internal(BaseModel):
    number: int


def one_node(node: type[Node], schema: type[BaseModel] = OpenAIChatSchema) -> type[Workflow]:
    class OneNode(Workflow):
        workflow_schema = WorkflowSchema(
            description=f"runs {node.__name__}",
            event_schema=schema,
            start=node,
            nodes=[NodeConfig(node=node)],
        )

    return OneNode


class Flows(Enum):
    ECHO = one_node(EchoNode)
    BROKEN = one_node(BrokenNode)
    LIMITED = one_node(LimitedNode)
    GATED = one_node(GatedNode)
    SILENT = one_node(SilentNode)
    TICKET = one_node(TicketNode, Ticket)
    INTERNAL = one_node(TicketNode, Internal)


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"default_workflow": "echo", "debounce": 0.0, **changes})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    aliases = {"gpt-4o": "ticket"}
    with serve(create_app(Flows, settings(model_aliases=aliases))) as running:
        yield running


@pytest.fixture(scope="module")
def shapes() -> Iterator[str]:
    """The URL of a server with the workflows of `chat_stream_flows`."""
    from .chat_stream_flows import Shapes

    with serve(create_app(Shapes, settings())) as running:
        yield running.url


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        yield http


@pytest.fixture(autouse=True)
def fresh_gates() -> Iterator[None]:
    gates.__init__()  # type: ignore[misc]
    yield
    gates.release.set()


def chat(text: str = "hello big world", **fields: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **fields}
