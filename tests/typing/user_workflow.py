"""What else users write: plain nodes, routers, concurrent nodes, a library server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from enum import Enum

from fastapi import FastAPI
from pydantic import BaseModel

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.router import BaseRouter, RouterNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import RunFailed, TextDelta
from launchpad.settings import Settings
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Ticket(BaseModel):
    text: str

    @classmethod
    def from_chat(cls, request: OpenAIChatSchema) -> Ticket:
        return cls(text=request.get_message())


class Classify(AgentNode):
    class OutputType(AgentNode.OutputType):
        urgent: bool

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=self.OutputType, instructions="Is it urgent?")

    async def process(self, task_context: TaskContext) -> TaskContext:
        event: Ticket = task_context.event
        result = await self.agent.run(user_prompt=event.text)
        self.save_output(result.output)
        return task_context


class Calm(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "All "
        yield "in good time."


class Hurry(Node):
    def process(self, task_context: TaskContext) -> Iterator[str]:
        yield "At once."


class IsUrgent(RouterNode):
    def determine_next_node(self, task_context: TaskContext) -> type[Node] | None:
        output: Classify.OutputType = task_context.get_output(Classify)
        return Hurry if output.urgent else None


class Triage(BaseRouter):
    routes = (IsUrgent,)
    fallback = Calm


class ByLength(BaseRouter):
    fallback = Calm

    def route(self, task_context: TaskContext) -> type[Node] | None:
        return Hurry if len(task_context.metadata) > 3 else None


class ByLookup(BaseRouter):
    fallback = Calm

    async def route(self, task_context: TaskContext) -> type[Node]:
        chosen: type[Node] | None = await super().route(task_context)
        return chosen or Hurry


class Log(Node):
    def process(self, task_context: TaskContext) -> TaskContext:
        task_context.metadata["logged"] = True
        return task_context


class Both(ConcurrentNode):
    async def process(self, task_context: TaskContext) -> TaskContext:
        await self.execute_nodes_concurrently(task_context)
        return task_context


class TicketWorkflow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=Ticket,
        start=Both,
        nodes=[
            NodeConfig(node=Both, concurrent_nodes=[Log, Classify], connections=[Triage]),
            NodeConfig(node=Triage, connections=[Calm, Hurry], is_router=True),
        ],
    )


class MyRegistry(Enum):
    TICKET = TicketWorkflow


async def answer(text: str) -> str:
    words: list[str] = []
    async for event in TicketWorkflow(enable_tracing=False).run_stream_async({"text": text}):
        if isinstance(event, TextDelta):
            words.append(event.text)
        elif isinstance(event, RunFailed):
            return event.message
    return "".join(words)


def answer_now(text: str) -> object:
    return TicketWorkflow().run(Ticket(text=text)).get_output(Calm)


server = create_app(MyRegistry, Settings(debounce=0.0))
mine = FastAPI()
mine.include_router(create_router([TicketWorkflow]), prefix="/ai")
