"""What a node may yield, and what it becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel
from tests.core.flows import Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError, RequestError
from launchpad.events import (
    JsonDelta,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
)


def test_whatever_a_node_may_yield_is_lifted_into_events() -> None:
    class Mixed(Words):
        words = (
            "text",
            "",
            {"role": "assistant", "content": ""},
            {"content": " more"},
            {"choices": [{"index": 0, "delta": {"content": " chunk"}, "finish_reason": None}]},
            {"choices": []},
            {"kind": "ReasoningDelta", "text": "hm"},
            ReasoningDelta("", "so"),
            ToolCallDelta("Mixed", 0, '{"a"', "call_1", "f"),
            {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        )

    spoken = [
        event
        for event in events_of(flow(NodeConfig(node=Mixed)))
        if not isinstance(event, RunStarted | NodeStarted | NodeFinished | RunFinished)
    ]
    assert spoken == [
        TextDelta("Mixed", "text"),
        TextDelta("Mixed", " more"),
        TextDelta("Mixed", " chunk"),
        ReasoningDelta("Mixed", "hm"),
        ReasoningDelta("Mixed", "so"),
        ToolCallDelta("Mixed", 0, '{"a"', "call_1", "f"),
        ToolCallDelta("Mixed", 0, ":1}"),
    ]


class Shade(StrEnum):
    RED = "red"


class Odd(str):
    """`str()` of it is another text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "odd"


ONE = Odd("one")


def test_texts_are_plain_str_whatever_a_node_yields() -> None:
    class Shades(Words):
        words = (
            Shade.RED,
            ONE,
            TextDelta("Shades", Shade.RED),
            ReasoningDelta("", ONE),
            {"content": ONE},
            {"kind": "TextDelta", "text": Shade.RED},
            {"tool_calls": [{"id": ONE, "function": {"name": ONE, "arguments": "{}"}}]},
            ToolCallDelta("Shades", 1, ONE, ONE, ONE, {"signed": ONE}),
            {"shade": Shade.RED, "number": ONE},
        )

    events = events_of(flow(NodeConfig(node=Shades)))
    assert events[2:-2] == [
        TextDelta("Shades", "red"),
        TextDelta("Shades", "one"),
        TextDelta("Shades", "red"),
        ReasoningDelta("Shades", "one"),
        TextDelta("Shades", "one"),
        TextDelta("Shades", "red"),
        ToolCallDelta("Shades", 0, "{}", "one", "one"),
        ToolCallDelta("Shades", 1, "one", "one", "one", {"signed": "one"}),
        JsonDelta("Shades", '{"shade":"red","number":"one"}'),
    ]
    for event in events[2:-2]:
        fields = msgspec.structs.asdict(event).values()
        assert {type(value) for value in fields} <= {str, int, dict, type(None)}
        if isinstance(event, ToolCallDelta) and event.extra_content:
            assert type(event.extra_content["signed"]) is str


@pytest.mark.parametrize("event", [TextDelta("Numbers", 5), ToolCallDelta("Numbers", 0, 5)])
def test_an_event_with_a_text_that_is_none_names_the_node(event: RunEvent) -> None:
    class Numbers(Words):
        words = (event,)

    with pytest.raises(NodeError, match=r"Numbers: yielded a \w+Delta whose text is no str"):
        flow(NodeConfig(node=Numbers)).run({})


class Inner(Words):
    words = ("in", "side")


class Forwards(Node):
    inner: type[Node] = Inner

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async for event in flow(NodeConfig(node=self.inner)).run_stream_async({}):
            yield event


def test_a_forwarded_run_is_the_forwarding_node_s_voice() -> None:
    workflow = flow(NodeConfig(node=Forwards, connections=[Words]), NodeConfig(node=Words))
    events = events_of(workflow)
    assert events[1:-1] == [
        NodeStarted("Forwards"),
        TextDelta("Forwards", "in"),
        TextDelta("Forwards", "side"),
        NodeFinished("Forwards", "stop"),
        NodeStarted("Words"),
        TextDelta("Words", "Hel"),
        TextDelta("Words", "lo"),
        NodeFinished("Words", "stop"),
    ]
    assert workflow.run({}).get_output(Forwards) == "inside"


def test_a_forwarded_failure_fails_the_node_with_its_message_and_status() -> None:
    class Refuses(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield "so far"
            raise RequestError("Too old.", code="too_old")

    class Outer(Forwards):
        inner = Refuses

    events = events_of(flow(NodeConfig(node=Outer)))
    assert events[2:] == [
        TextDelta("Outer", "so far"),
        RunFailed("Outer: Too old.", 400, "invalid_request_error", "too_old"),
    ]
    with pytest.raises(NodeError, match="Outer: Too old"):
        flow(NodeConfig(node=Outer)).run({})


def test_any_iterator_speaks_and_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "poem"
    path.write_text("one\ntwo\n")

    class Closes:
        closed = False

        def __init__(self, end: type[Exception]) -> None:
            self.end = end

        def __iter__(self) -> Closes:
            return self

        def __next__(self) -> str:
            raise self.end

        def close(self) -> None:
            self.closed = True

    file, empty, broken = path.open(), Closes(StopIteration), Closes(ValueError)
    texts: list[str] = []
    for words in (file, empty, broken):

        class Reads(Node):
            source: Any = words

            def process(self, task_context: TaskContext) -> Any:
                return self.source

        events = events_of(flow(NodeConfig(node=Reads)))
        texts += [event.text for event in events if isinstance(event, TextDelta)]
        assert isinstance(events[-1], RunFailed if words is broken else RunFinished)
    assert texts == ["one\n", "two\n"]
    assert file.closed
    assert empty.closed
    assert broken.closed


def test_other_dicts_are_whole_json_documents() -> None:
    class Documents(Words):
        words = ({"a": 1}, {"a": 1, "b": [2]})

    workflow = flow(NodeConfig(node=Documents))
    spoken = [event for event in events_of(workflow) if isinstance(event, JsonDelta)]
    assert spoken == [
        JsonDelta("Documents", '{"a":1}'),
        JsonDelta("Documents", '\n{"a":1,"b":[2]}'),
    ]
    assert workflow.run({}).get_output(Documents) == {"a": 1, "b": [2]}


def test_events_as_dicts_are_fragments_of_one_document() -> None:
    class Fragments(Words):
        words = ({"kind": "JsonDelta", "text": '{"a"'}, {"kind": "JsonDelta", "text": ":1}"})

    workflow = flow(NodeConfig(node=Fragments))
    spoken = [event.text for event in events_of(workflow) if isinstance(event, JsonDelta)]
    assert spoken == ['{"a"', ":1}"]
    assert workflow.run({}).get_output(Fragments) == {"a": 1}


def test_a_kind_that_is_no_event_s_is_a_field_like_any_other() -> None:
    class Documents(Words):
        words = ({"kind": "cat"}, {"kind": 3})

    workflow = flow(NodeConfig(node=Documents))
    spoken = [event.text for event in events_of(workflow) if isinstance(event, JsonDelta)]
    assert spoken == ['{"kind":"cat"}', '\n{"kind":3}']


def test_a_dict_that_is_no_event_although_it_says_so_names_the_node() -> None:
    wrong = type("Wrong", (Words,), {"words": ({"kind": "TextDelta", "text": 3},)})
    with pytest.raises(NodeError, match="Wrong: yielded a dict that is no TextDelta: "):
        flow(NodeConfig(node=wrong)).run({})


def test_a_pydantic_model_is_a_document_alone_and_within_one() -> None:
    class Person(BaseModel):
        name: str
        born: date | None = None

    class People(Words):
        al = Person(name="Al", born=date(2001, 2, 3))
        words = (Person(name="Zoë", born=date(1999, 5, 1)), {"who": al})

    workflow = flow(NodeConfig(node=People))
    spoken = [event.text for event in events_of(workflow) if isinstance(event, JsonDelta)]
    assert spoken == [
        '{"name":"Zoë","born":"1999-05-01"}',
        '\n{"who":{"name":"Al","born":"2001-02-03"}}',
    ]
    assert workflow.run({}).get_output(People) == {"who": {"name": "Al", "born": "2001-02-03"}}
    alone = type("Alone", (Words,), {"words": (Person(name="Zoë"),)})
    assert flow(NodeConfig(node=alone)).run({}).get_output(alone) == Person(name="Zoë")


def test_an_sdk_s_chunk_is_a_chunk_and_langchain_s_message_is_refused() -> None:
    chunk = ChatCompletionChunk.model_validate(
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "length"}],
        }
    )
    relays = type("Relays", (Words,), {"words": (chunk,)})
    events = events_of(flow(NodeConfig(node=relays)))
    assert events[2:4] == [TextDelta("Relays", "hello"), NodeFinished("Relays", "length")]

    messages = pytest.importorskip("langchain_core.messages")
    says = type("Says", (Words,), {"words": (messages.AIMessageChunk(content="hello"),)})
    with pytest.raises(NodeError, match="Says: yielded LangChain's AIMessageChunk; yield its text"):
        flow(NodeConfig(node=says)).run({})


class Streamed:
    """Has what pydantic-ai's `StreamedRunResult` has."""

    async def stream_text(self) -> AsyncIterator[str]:
        yield "part"


async def later() -> str:
    return "later"


async def parts() -> AsyncIterator[str]:
    yield "part"


class Result:
    output = "words"


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: None, "nothing to say, yield nothing"),
        (later, "write await before it"),
        (parts, "write async for part in"),
        (lambda: b"bytes", "decode it first"),
        (lambda: 7, "write str"),
        (lambda: ["a"], "yield what is in it, one by one"),
        (Result, "yield its .output"),
        (lambda: asyncio.timeout(1), "write async with"),
        (Streamed, "yield what self.stream_text_deltas"),
    ],
)
def test_what_was_meant_is_told(make: Callable[[], Any], remedy: str) -> None:
    class Odd(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield make()

    with pytest.raises(NodeError, match=f"Odd: yielded .*: .*{remedy}"):
        flow(NodeConfig(node=Odd)).run({})


@pytest.mark.parametrize("item", [7, b"bytes", object(), ["a"], None, {"a": object()}])
def test_anything_else_is_an_error_that_names_the_node(item: object) -> None:
    class Odd(Words):
        words = ("fine", item)

    with pytest.raises(NodeError, match="Odd: yielded"):
        flow(NodeConfig(node=Odd)).run({})


def test_where_nobody_knows_what_was_meant_no_remedy_is_made_up() -> None:
    odd = type("Odd", (Words,), {"words": (object(),)})
    with pytest.raises(NodeError, match=r"or an event of launchpad\.events\.$"):
        flow(NodeConfig(node=odd)).run({})
