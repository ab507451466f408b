"""Agents whose model gives no output that fits, in all the ways in which pydantic-ai says so."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import ModelRetry, ToolOutput, _agent_graph, _tool_execution, result
from tests.core.conftest import config, upstream_now
from tests.core.flows import asked, chat_events_of, chat_flow

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError, OutputError
from launchpad.events import RunFailed
from launchpad.models.agents import output_errors
from launchpad.testing.steps import Chunk, Finish, ToolDelta

pytestmark = pytest.mark.usefixtures("upstream")


class Person(BaseModel):
    name: str
    age: int


def again() -> str:
    """Never good enough."""
    raise ModelRetry("again")


class ByTool(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=ToolOutput(Person))


class ByToolAtLast(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=ToolOutput(Person), tools=[again])


class Quiet(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=ToolOutput(Person))


class QuietNative(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=Person)


class ReadsItself(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=Person)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with self.agent.run_stream("who?") as answer:
            yield str(await answer.get_output())


class InVain(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config(tools=[again])


def failure_of(node: type[Node]) -> RunFailed:
    failure = chat_events_of(chat_flow(node))[-1]
    assert isinstance(failure, RunFailed)
    return failure


@pytest.mark.parametrize("node", [ByTool, ByToolAtLast, Quiet, QuietNative])
def test_a_model_that_says_plain_text_to_the_end(node: type[Node]) -> None:
    upstream_now().script_all(Chunk("I would rather talk."))
    failure = failure_of(node)
    assert (failure.status, failure.code) == (500, "invalid_output")
    assert failure.message == f"{node.__name__}: {output_errors.UNFIT}"
    assert len(upstream_now().requests) == 2, "asked once more, as the config has it"
    with pytest.raises(OutputError) as caught:
        asyncio.run(chat_flow(node).run_async(asked()))
    assert "Exceeded maximum output retries (1)" in str(caught.value.__cause__)


def test_an_output_that_the_node_reads_by_pydantic_ai_s_own_means() -> None:
    upstream_now().script_all(Chunk('{"name": 1}'))
    assert failure_of(ReadsItself).code == "invalid_output"


def test_an_answer_that_the_token_limit_cut_off() -> None:
    upstream_now().script_all(Chunk('{"name": "Jo'), Finish("length"))
    failure = failure_of(QuietNative)
    assert failure.code == "invalid_output"
    assert failure.message == f"QuietNative: {output_errors.CUT_SHORT}"


def test_a_tool_that_is_called_in_vain_is_the_node_s_failure() -> None:
    call = ToolDelta(0, "{}", id="c1", name="again")
    upstream_now().script_all(call, Finish("tool_calls"))
    with pytest.raises(NodeError, match="exceeded max retries") as caught:
        asyncio.run(chat_flow(InVain).run_async(asked()))
    assert caught.value.code == "node_failed"


def test_pydantic_ai_s_words_are_what_we_look_for() -> None:
    """It has no class of its own for it: after an upgrade, see `models/agents/output_errors.py`."""
    sources = "".join(map(inspect.getsource, (_agent_graph, _tool_execution, result)))
    for words in output_errors._BEGINNINGS:
        assert words in sources
