"""A node that passes another server's OpenAI chunks on as they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import (
    JsonDelta,
    NodeFinished,
    ReasoningDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def relayed(chunks: Sequence[dict[str, Any]]) -> list[RunEvent]:
    class Relay(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
            for one in chunks:
                yield one

    class Flow(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema, start=Relay, nodes=[NodeConfig(node=Relay)]
        )

    async def collect() -> list[RunEvent]:
        asked = {"messages": [{"role": "user", "content": "Hi"}]}
        return [event async for event in Flow().run_stream_async(asked)]

    return asyncio.run(collect())


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "1", "object": "chat.completion.chunk", "choices": [choice]}


def test_the_finish_and_the_tokens_are_the_relayed_answer_s() -> None:
    spent = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    events = relayed(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "cut"}),
            chunk({}, "length"),
            {"id": "1", "choices": [], "usage": spent},
        ]
    )
    assert [event for event in events if isinstance(event, TextDelta)] == [
        TextDelta("Relay", "cut")
    ]
    finished = next(event for event in events if isinstance(event, NodeFinished))
    assert finished.finish_reason == "length"
    assert events[-1] == RunFinished("length", Usage(7, 2))


def test_a_sum_in_every_chunk_is_counted_once() -> None:
    chunks = [
        {**chunk({"content": "a"}), "usage": {"prompt_tokens": 7, "completion_tokens": 1}},
        {**chunk({"content": "b"}), "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
        {**chunk({}, "stop"), "usage": None},
    ]
    assert relayed(chunks)[-1] == RunFinished("stop", Usage(7, 2))


def test_one_choice_is_one_voice() -> None:
    events = relayed([chunk({"content": "mine"}), chunk({"content": "other"}, index=1)])
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["mine"]


def test_arguments_that_come_as_an_object_go_on_as_json() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": "é"}}}
    events = relayed([chunk({"tool_calls": [call]}, "tool_calls")])
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [ToolCallDelta("Relay", 0, '{"a":"é"}', "c", "f")]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "call",
    ["f()", {"index": "first"}, {"function": "f"}, {"function": {"arguments": {"at": object()}}}],
)
def test_a_tool_call_that_is_none_names_the_node(call: Any, caplog: Any) -> None:
    *_, failure = relayed([chunk({"tool_calls": [call]})])
    assert isinstance(failure, RunFailed)
    assert "Relay" in caplog.text
    assert "tool call" in caplog.text


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("delta", "thought"),
    [
        ({"reasoning_content": "r"}, "r"),
        ({"reasoning": "r"}, "r"),
        ({"reasoning": "r", "reasoning_content": "r"}, "r"),
        ({"reasoning": "r", "content": "", "reasoning_content": None}, "r"),
    ],
)
def test_reasoning_has_two_names(delta: dict[str, Any], thought: str, bare: bool) -> None:
    events = relayed([delta if bare else chunk(delta)])
    said = [event for event in events if isinstance(event, ReasoningDelta | TextDelta | JsonDelta)]
    assert said == [ReasoningDelta("Relay", thought)]


def test_a_users_own_data_may_have_reasoning_of_another_kind() -> None:
    events = relayed([{"reasoning": ["first", "second"]}])
    said = [event for event in events if isinstance(event, ReasoningDelta | JsonDelta)]
    assert said == [JsonDelta("Relay", '{"reasoning":["first","second"]}')]
    events = relayed([chunk({"content": "a", "reasoning": {"effort": "low"}})])
    assert not any(isinstance(event, ReasoningDelta) for event in events)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("end_turn", "stop"),
        ("max_output_tokens", "length"),
    ],
)
def test_another_server_s_finish_reason_is_told_in_openai_s_words(said: str, meant: str) -> None:
    events = relayed([chunk({"content": "a"}), chunk({}, said)])
    assert isinstance(events[-1], RunFinished)
    assert events[-1].finish_reason == meant


@pytest.mark.parametrize("said", ["abort", "error", "NETWORK_ERROR"])
def test_a_server_that_gave_up_is_no_end(said: str) -> None:
    *_, words, failure = relayed([chunk({"content": "half"}), chunk({}, said)])
    assert words == TextDelta("Relay", "half")
    assert isinstance(failure, RunFailed)
    assert failure.code == "upstream_cut"
