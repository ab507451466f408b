"""Streaming nodes whose agent is asked with another model than the node's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import JsonDelta, RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Person(BaseModel):
    name: str
    age: int


def config(output_type: Any) -> AgentConfig:
    return AgentConfig(
        model_provider=ModelProvider.OPENAI, model_name="never asked", output_type=output_type
    )


async def words(_messages: Any, info: AgentInfo) -> AsyncIterator[Any]:
    if info.output_tools:
        name = info.output_tools[0].name
        for piece in ('{"name": "A', 'da", "a', 'ge": 36}'):
            yield {0: DeltaToolCall(name=name, json_args=piece, tool_call_id="1")}
            name = ""
    else:
        yield "one "
        yield "two"


OTHER = FunctionModel(stream_function=words)


class Text(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(str)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with self.agent.run_stream("hello", model=OTHER) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class Overridden(Text):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        with self.agent.override(model=TestModel(custom_output_text="one two")):
            async with self.agent.run_stream("hello") as result:
                async for chunk in self.stream_text_deltas(result):
                    yield chunk


class OfTheUsers(Text):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with Agent(OTHER).run_stream("hello") as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class Structured(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(Person)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with Agent(OTHER, output_type=Person).run_stream("hello") as result:
            async for chunk in self.stream_structured_deltas(result):
                yield chunk


class Broken(Text):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async def breaks(_messages: Any, _info: AgentInfo) -> AsyncIterator[str]:
            yield "one "
            raise OSError("gone")

        model = FunctionModel(stream_function=breaks)
        async with self.agent.run_stream("hello", model=model) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


def run(node: type[AgentStreamingNode]) -> tuple[list[RunEvent], dict[str, Any]]:
    schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=node, nodes=[NodeConfig(node=node)]
    )
    made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
    event = {"messages": [{"role": "user", "content": "hello"}]}

    async def collect() -> list[RunEvent]:
        return [event_ async for event_ in made().run_stream_async(event)]

    events = asyncio.run(collect())
    outputs = {} if isinstance(events[-1], RunFailed) else made().run(event).nodes
    return events, outputs


@pytest.mark.parametrize("node", [Text, Overridden, OfTheUsers])
def test_its_words_stream_and_are_saved(
    node: type[AgentStreamingNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    events, outputs = run(node)
    said = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(said) == "one two"
    assert len(said) > 1
    assert outputs == {node.__name__: "one two"}
    assert isinstance(events[-1], RunFinished)
    assert events[-1].finish_reason == "stop"
    assert events[-1].usage is not None


def test_so_does_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    events, outputs = run(Structured)
    said = [event.text for event in events if isinstance(event, JsonDelta)]
    assert "".join(said) == '{"name": "Ada", "age": 36}'
    assert len(said) > 1
    assert outputs == {"Structured": Person(name="Ada", age=36)}


def test_what_breaks_in_it_is_the_node_s_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    events, _ = run(Broken)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["one "]
    assert isinstance(events[-1], RunFailed)
