"""Nodes whose model says nothing, refuses, or is cut before its first word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from tests.core.conftest import config, upstream_now
from tests.core.flows import asked, chat_events_of, chat_flow

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.task import TaskContext
from launchpad.errors import LaunchpadError
from launchpad.events import RunFailed, RunFinished
from launchpad.testing.steps import Finish, Refusal

pytestmark = pytest.mark.usefixtures("upstream")


class Choice(BaseModel):
    """A document that no words at all would fit, were they read as one."""

    a: int = 1
    tags: list[str] = []


class Lenient(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=Choice)

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


def test_a_document_that_nobody_made_is_an_error() -> None:
    upstream_now().script(Finish("stop"))
    failure = chat_events_of(chat_flow(Lenient))[-1]
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
    upstream_now().script(*steps)
    finished = chat_events_of(chat_flow(Lenient))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.finish_reason == finish
    upstream_now().script(*steps)
    with pytest.raises(LaunchpadError, match=why):
        chat_flow(Lenient, Decides).run(asked())


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
@pytest.mark.parametrize("node", [Words, Direct])
def test_an_empty_answer_ends_for_the_model_s_reason(node: type[Node], reason: str) -> None:
    upstream_now().script(Finish(reason))
    finished = chat_events_of(chat_flow(node))[-1]
    assert isinstance(finished, RunFinished)
    assert finished.finish_reason == reason
