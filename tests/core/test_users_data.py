"""What looks like OpenAI's and is a user's own: dicts with `choices`, text beside a type, tools."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.models.test import TestModel
from tests.core.flows import asked, chat_flow

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.models.loops import aclose_clients
from launchpad.testing import ScriptedModel, override_model

OWN: list[dict[str, Any]] = [
    {"question": "Capital of France?", "choices": ["Paris", "Rome"], "answer": 0},
    {"choices": [{"text": "Paris"}, {"text": "Rome"}]},
    {"question": "Capital of France?", "choices": []},
    {"choices": "ab"},
    {"role": "admin"},
    {"role": "user", "content": "Hello"},
]


@pytest.mark.parametrize("data", OWN)
def test_data_of_ones_own_is_data(data: dict[str, Any]) -> None:
    class Telling(Node):
        async def process(self, task_context: TaskContext) -> Any:
            yield data

    context = chat_flow(Telling).run(asked())
    assert context.get_output(Telling) == data


CHUNKS: list[tuple[dict[str, Any], str | None]] = [
    ({"choices": [{"delta": {"content": "Hi"}}]}, "Hi"),
    ({"object": "chat.completion.chunk", "choices": [{"index": 0}]}, None),
    ({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, None),
    ({"choices": [], "id": "", "object": "", "prompt_filter_results": []}, None),
    ({"role": "assistant", "content": "Hi"}, "Hi"),
    ({"role": "assistant"}, None),
]


@pytest.mark.parametrize(("chunk", "said"), CHUNKS)
def test_a_chunk_is_what_it_says(chunk: dict[str, Any], said: str | None) -> None:
    class Telling(Node):
        async def process(self, task_context: TaskContext) -> Any:
            yield chunk

    assert chat_flow(Telling).run(asked()).get_output(Telling) == said


class Person(BaseModel):
    name: str


class Either(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=[str, Person])

    async def process(self, task_context: TaskContext) -> Any:
        async with self.agent.run_stream("Who?") as result:
            async for event in self.stream_structured_deltas(result):
                yield event


def test_text_is_an_output_where_the_type_takes_it() -> None:
    with override_model(ScriptedModel("Which one do you mean?")):
        said = chat_flow(Either).run(asked()).get_output(Either)
    assert said == "Which one do you mean?"


def test_so_is_the_type() -> None:
    with override_model(TestModel(custom_output_args={"name": "Ann"})):
        assert chat_flow(Either).run(asked()).get_output(Either) == Person(name="Ann")


class Looking(AgentStreamingNode):
    """Its tool is the run's own."""

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(tools=[self.look])

    def look(self) -> str:
        """Whose order it is."""
        return str(self.task_context.event.user)

    async def process(self, task_context: TaskContext) -> Any:
        async for event in self.stream_agent("Whose order is it?"):
            yield event


class LookingWithin(Looking):
    def get_agent_config(self) -> AgentConfig:
        def look() -> str:
            """Whose order it is."""
            return str(self.task_context.event.user)

        return AgentConfig(tools=[look])


@pytest.mark.parametrize("node", [Looking, LookingWithin])
def test_a_tool_of_the_runs_own_sees_its_run_and_ends_with_it(node: type[Looking]) -> None:
    async def main() -> list[Any]:
        flow = chat_flow(node)
        outputs = [
            (await flow.run_async(asked(user=user))).get_output(node) for user in ("ann", "bob")
        ]
        gc.collect()
        alive = [one for one in gc.get_objects() if type(one) is node]
        await aclose_clients()
        assert not alive
        return outputs

    with override_model(TestModel()):
        assert asyncio.run(main()) == ['{"look":"ann"}', '{"look":"bob"}']
