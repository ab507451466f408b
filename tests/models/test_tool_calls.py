"""Tool calls as upstreams stream them, in OpenAI's form or nearly so: none is lost or mistaken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pydantic_ai import ToolDefinition
from pydantic_ai.messages import ModelRequest, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from tests.models.upstream import (
    DONE,
    STOP,
    Call,
    Upstream,
    chunk,
    event,
    text,
    tool_call,
    upstream,
)

from launchpad.events import Delta, JsonDelta, TextDelta, ToolCallDelta
from launchpad.models import aclose_clients, build_model
from launchpad.models.agents.agent import build_agent
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.direct import OpenAnswer
from launchpad.models.live.stream import Names, Speech
from launchpad.models.openai_compatible.tool_calls import ToolCallIndices
from launchpad.models.scope import RequestScope, request_scope
from launchpad.settings import Settings

N = "Node"
ENDED = event(chunk({}, "tool_calls"))
TOOLS = tuple(
    ToolDefinition(name=name, parameters_json_schema={"type": "object"})
    for name in ("get", "get_weather", "set")
)
Told = list[tuple[str | None, str | None, str]]
"""Of each call: id, name, arguments."""


def part(index: int | None, name: str | None = None, arguments: Any = "", **more: Any) -> bytes:
    named = {"name": name} if name is not None else {}
    return event(chunk(tool_call(index, **named, arguments=arguments, **more)))


STREAMS: dict[str, tuple[Sequence[bytes], Told]] = {
    "a repeated name": (
        [part(0, "get", '{"a":', id="c"), part(0, "get", '"x"}')],
        [("c", "get", '{"a":"x"}')],
    ),
    "a repeated name, before the arguments": (
        [part(0, "get", id="c"), part(0, "get", '{"a":', id="c"), part(0, "get", "1}", id="c")],
        [("c", "get", '{"a":1}')],
    ),
    "another name in the midst of the arguments": (
        [part(0, "get", '{"a":', id="c"), part(0, "_weather", "1}")],
        [("c", "get", '{"a":1}')],
    ),
    "a name in pieces": (
        [part(0, "get_", id="c"), part(0, "wea"), part(0, "ther", "{}")],
        [("c", "get_weather", "{}")],
    ),
    "a piece that is a tool itself": (
        [part(0, "get", id="c"), part(0, "_weather", '{"a":"b"}')],
        [("c", "get_weather", '{"a":"b"}')],
    ),
    "a name that another one begins with": (
        [part(0, "get", id="c"), part(0, None, "{}"), part(1, "get", id="d"), part(2, "set")],
        [("c", "get", "{}"), ("d", "get", ""), (None, "set", "")],
    ),
    "a name that another one begins with, at the end": (
        [part(0, "get", id="c")],
        [("c", "get", "")],
    ),
    "a late name": (
        [part(0, None, '{"a"', id="c"), part(0, "get", ":1}")],
        [("c", "get", '{"a":1}')],
    ),
    "a late name beside another call": (
        [part(0, None, "{", id="c"), part(1, "set", "{}", id="d"), part(0, "get", "}")],
        [("d", "set", "{}"), ("c", "get", "{}")],
    ),
    "one id for two calls": (
        [
            part(0, "get", "{", id="c"),
            part(1, "set", "[", id="c"),
            part(1, None, "]", id="c"),
            part(0, None, "}", id="c"),
        ],
        [("c", "get", "{}"), ("c_1", "set", "[]")],
    ),
    "no index": (
        [part(None, "get", "{", id="c"), part(None, "get", "}"), part(None, "set", "{}", id="d")],
        [("c", "get", "{}"), ("d", "set", "{}")],
    ),
    "neither index nor id": (
        [part(None, "get", '{"a":1}'), part(None, "get", '{"a":2}'), part(None, "set", "{}")],
        [(None, "get", '{"a":1}'), (None, "get", '{"a":2}'), (None, "set", "{}")],
    ),
    "arguments as an object": (
        [part(0, "get", {"a": "é"}, id="c"), part(1, "set", {}, id="d")],
        [("c", "get", '{"a":"é"}'), ("d", "set", "{}")],
    ),
    "one call in the place of the list": (
        [
            event(chunk({"tool_calls": tool_call(0, id="", **one)["tool_calls"][0]}))
            for one in ({"name": "get", "arguments": "{"}, {"name": None, "arguments": "}"})
        ],
        [(None, "get", "{}")],
    ),
    "a number for an id": ([part(0, "set", "{}", id=7)], [("7", "set", "{}")]),
}


def with_upstream(pieces: Sequence[bytes], body: Callable[[Upstream], Awaitable[Any]]) -> Any:
    async def script(call: Call) -> None:
        await call.stream(*pieces)

    async def main() -> Any:
        async with upstream(script) as server:
            try:
                return await body(server)
            finally:
                await aclose_clients()

    return asyncio.run(main())


async def chat(server: Upstream) -> tuple[list[Delta], str | None]:
    async with OpenAnswer(server.config(), [ModelRequest.user_text_prompt("Hi")]) as answer:
        heard = [one async for one in answer.events(N, structured=False)]
    return heard, answer.finish_reason


async def agent(server: Upstream) -> tuple[list[Delta], str | None]:
    node = build_agent(
        server.config(), streaming=True, name=N, settings=Settings(), allow_client_form=True
    )
    async with node.run_stream("Hi") as result:
        live = live_stream(result.run_id)
        assert live is not None
        heard = [one async for one in live.events(N, structured=False)]
        await result.get_output()
    return heard, live.finish_reason


def listen(pieces: Sequence[bytes], read: Any, *tools: ToolDefinition) -> Any:
    async def body(server: Upstream) -> Any:
        request_scope.set(RequestScope(client_tools=tools))
        return await read(server)

    return with_upstream(pieces, body)


def told(heard: Sequence[Delta]) -> Told:
    """The calls as a client puts them together."""
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for one in heard:
        assert isinstance(one, ToolCallDelta)
        known = calls.get(one.index)
        if known is None:
            assert one.name
            assert one.index == len(calls)
            calls[one.index] = (one.id, one.name, one.arguments)
        else:
            assert (one.id, one.name) == (None, None)
            calls[one.index] = (known[0], known[1], known[2] + one.arguments)
    return list(calls.values())


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize("name", STREAMS)
def test_the_client_gets_each_call(name: str, read: Any) -> None:
    pieces, wanted = STREAMS[name]
    heard, reason = listen([*pieces, ENDED, DONE], read, *TOOLS)
    assert told(heard) == [(call, name, words or "{}") for call, name, words in wanted]
    assert reason == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", STREAMS)
def test_pydantic_ai_gets_the_same_calls(name: str, stream: bool) -> None:
    pieces, wanted = STREAMS[name]

    async def body(server: Upstream) -> list[ToolCallPart]:
        model, asked = build_model(server.config(), Settings()), ModelRequestParameters()
        if not stream:
            response = await model.request([], None, asked)
        else:
            async with model.request_stream([], None, asked) as open_one:
                async for _ in open_one:
                    pass
            response = open_one.get()
        return [part for part in response.parts if isinstance(part, ToolCallPart)]

    calls = with_upstream([*pieces, ENDED, DONE], body)
    assert sorted((call.tool_name, call.args or "") for call in calls) == sorted(
        (name, arguments) for _, name, arguments in wanted
    )
    ids = {call.tool_call_id for call in calls}
    assert len(ids) == len(calls)
    assert ids >= {call_id for call_id, _, _ in wanted if call_id is not None}


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize("end", [STOP, event(chunk({}, "function_call")), event(chunk({}, "eos"))])
def test_an_answer_with_a_call_ends_for_it(read: Any, end: bytes) -> None:
    heard, reason = listen([part(0, "set", "{}", id="c"), end, DONE], read, *TOOLS)
    assert told(heard) == [("c", "set", "{}")]
    assert reason == "tool_calls"


@pytest.mark.parametrize("read", [chat, agent])
def test_a_call_that_was_cut_ends_for_length(read: Any) -> None:
    cut = event(chunk({}, "length"))
    heard, reason = listen([part(0, "set", '{"a', id="c"), cut, DONE], read, *TOOLS)
    assert told(heard) == [("c", "set", '{"a')]
    assert reason == "length"


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize(
    ("end", "arguments"), [("tool_calls", "{}"), ("stop", "{}"), ("length", ""), ("eos", "{}")]
)
def test_a_whole_call_has_arguments(read: Any, end: str, arguments: str) -> None:
    """As OpenAI's; a client parses them, and some servers give none to a function without any."""
    pieces = [part(0, "set", "", id="c"), part(1, "get", "{}", id="d")]
    heard, _ = listen([*pieces, event(chunk({}, end)), DONE], read, *TOOLS)
    assert told(heard) == [("c", "set", arguments), ("d", "get", "{}")]


@pytest.mark.parametrize("tools", [TOOLS, ()])
def test_a_chat_model_s_calls_are_the_client_s_whatever_they_are_called(
    tools: tuple[ToolDefinition, ...],
) -> None:
    pieces = [part(0, "no", id="c"), part(0, "pe", "{"), part(0, None, "}"), part(1, "set", "{}")]
    heard, reason = listen([*pieces, STOP, DONE], chat, *tools)
    assert told(heard) == [("c", "nope", "{}"), (None, "set", "{}")]
    assert reason == "tool_calls"


def test_so_they_are_in_a_request_that_is_sent_as_learnt() -> None:
    async def twice(server: Upstream) -> Any:
        return [await chat(server), await chat(server)]

    first, second = listen([part(0, "set", "{}", id="c"), STOP, DONE], twice)
    assert first == second == ([ToolCallDelta(N, 0, "{}", "c", "set")], "tool_calls")


def test_an_agent_s_other_calls_stay_hidden() -> None:
    pieces = [*text("Wait."), part(0, "nope", "{}", id="c"), STOP, DONE]
    assert listen(pieces, agent, *TOOLS) == ([TextDelta(N, "Wait.")], "stop")


def test_a_known_name_leaves_at_once() -> None:
    say = Speech(N, structured=False, names=Names(client=frozenset({"set", "get", "get_b"})))
    assert say.tool_call(0, "set", "c", "") == [ToolCallDelta(N, 0, "", "c", "set")]
    assert say.tool_call(1, "get", "d", "") == []
    assert say.tool_call(1, None, None, "{") == [ToolCallDelta(N, 1, "{", "d", "get")]
    assert say.tool_call(2, "get", "e", "") == []
    assert say.tool_call(3, "set", "f", "{") == [
        ToolCallDelta(N, 2, "", "e", "get"),
        ToolCallDelta(N, 3, "{", "f", "set"),
    ]
    assert say.end("length") == []


def test_an_output_tool_s_name_in_pieces() -> None:
    say = Speech(N, structured=True, names=Names(output=frozenset({"out", "out_b"}), text=False))
    assert say.tool_call(0, "out", "c", "") == []
    assert say.tool_call(0, "_b", None, '{"a"') == [JsonDelta(N, '{"a"')]
    assert say.tool_call(0, None, None, ":1}") == [JsonDelta(N, ":1}")]
    assert say.end("stop") == []
    assert say.reason("tool_calls") == "stop"


@pytest.mark.parametrize(
    "odd", [{}, {"function": None}, {"function": "f"}, {"index": [1]}, 5, None]
)
def test_what_is_no_fragment_harms_nothing(odd: Any) -> None:
    indices = ToolCallIndices()
    indices.settle([{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}])
    indices.settle([odd])
    last = indices.settle([{"index": 0, "function": {"arguments": "}"}}])
    assert json.loads(json.dumps(last)) == [{"index": 0, "function": {"arguments": "}"}}]
