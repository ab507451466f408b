"""Nodes whose model says nothing, refuses, or is cut before its first word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import LaunchpadError
from launchpad.events import RunEvent, RunFailed, RunFinished
from launchpad.testing import ScriptedUpstream
from launchpad.testing.steps import Finish, Refusal
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

upstream_now: ScriptedUpstream


@pytest.fixture(autouse=True)
def upstream() -> Iterator[ScriptedUpstream]:
    global upstream_now
    with ScriptedUpstream() as upstream_now:
        yield upstream_now


def config(output_type: Any = str) -> AgentConfig:
    return AgentConfig(
        model_provider=ModelProvider.OPENAI_COMPATIBLE,
        model_name="scripted",
        base_url=upstream_now.base_url,
        api_key="any",
        output_type=output_type,
    )


class Choice(BaseModel):
    """A document that no words at all would fit, were they read as one."""

    a: int = 1
    tags: list[str] = []


class Lenient(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(Choice)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with self.agent.run_stream("decide") as result:
            async for chunk in self.stream_structured_deltas(result):
                yield chunk


class Words(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Decides(Node):
    async def process(self, task_context: TaskContext) -> str:
        return f"decided {task_context.get_output(Lenient)}"


def flow(*nodes: type[Node]) -> Workflow:
    configs = [NodeConfig(node=node, connections=[then]) for node, then in pairwise(nodes)]
    configs.append(NodeConfig(node=nodes[-1]))
    schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=nodes[0], nodes=configs)
    made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
    return made()


ASKED = {"messages": [{"role": "user", "content": "hello"}]}


def events_of(workflow: Workflow) -> list[RunEvent]:
    async def collect() -> list[RunEvent]:
        return [event async for event in workflow.run_stream_async(ASKED)]

    return asyncio.run(collect())


def test_a_document_that_nobody_made_is_an_error() -> None:
    upstream_now.script(Finish("stop"))
    failure = events_of(flow(Lenient))[-1]
    assert isinstance(failure, RunFailed)
    assert failure.code == "invalid_output"


@pytest.mark.parametrize(
    ("steps", "finish", "why"),
    [
        ((Finish("length"),), "length", "cut off by the token limit"),
        ((Finish("content_filter"),), "content_filter", "content filter"),
        ((Refusal("I cannot"), Finish("stop")), "stop", "refused"),
    ],
)
def test_nothing_is_saved_of_it(steps: tuple[Any, ...], finish: str, why: str) -> None:
    upstream_now.script(*steps)
    finished = events_of(flow(Lenient))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.finish_reason == finish
    upstream_now.script(*steps)
    with pytest.raises(LaunchpadError, match=why):
        flow(Lenient, Decides).run(ASKED)


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
@pytest.mark.parametrize("node", [Words, Direct])
def test_an_empty_answer_ends_for_the_model_s_reason(node: type[Node], reason: str) -> None:
    upstream_now.script(Finish(reason))
    finished = events_of(flow(node))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.finish_reason == reason
