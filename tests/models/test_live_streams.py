"""`agent.run_stream` over a real socket, read by `live_stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import NativeOutput, PromptedOutput, ToolDefinition, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior
from tests.models.upstream import (
    DONE,
    STOP,
    Call,
    Script,
    Upstream,
    chunk,
    event,
    text,
    tool_call,
    upstream,
    usage,
)

from launchpad.errors import UpstreamError
from launchpad.events import (
    Delta,
    JsonDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.live.chat import ChatLive
from launchpad.models.scope import RequestScope, request_scope

N = "Node"


def with_upstream(script: Script, body: Callable[[Upstream], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with upstream(script) as server:
            try:
                return await body(server)
            finally:
                await aclose_clients()

    return asyncio.run(main())


def saying(*pieces: bytes) -> Script:
    async def script(call: Call) -> None:
        await call.stream(*pieces)

    return script


class Heard:
    """What one run gave: its events, and what pydantic-ai made of it."""

    def __init__(self) -> None:
        self.events: list[Delta] = []
        self.output: Any = None
        self.response: Any = None
        self.usage: Any = None
        self.finish_reason: str | None = None
        self.live_usage: Usage | None = None


async def hear(agent: Any, *, structured: bool = False) -> Heard:
    heard = Heard()
    async with agent.run_stream("Hello") as result:
        live = live_stream(result.run_id)
        assert live is not None
        async for one in live.events(N, structured=structured):
            heard.events.append(one)
        heard.output = await result.get_output()
        heard.response, heard.usage = result.response, result.usage
        heard.finish_reason, heard.live_usage = live.finish_reason, live.usage
        run_id = result.run_id
    assert live_stream(run_id) is None
    return heard


def listen(pieces: Sequence[bytes], *, structured: bool = False, **config: Any) -> Heard:
    async def body(server: Upstream) -> Heard:
        return await hear(server.agent(**config), structured=structured)

    return with_upstream(saying(*pieces), body)


def test_each_chunk_is_an_event_and_pydantic_ai_gets_the_same_text() -> None:
    heard = listen([b"".join([*text("Hello", " ", "world"), STOP, usage(5, 3), DONE])])
    assert heard.events == [TextDelta(N, "Hello"), TextDelta(N, " "), TextDelta(N, "world")]
    assert heard.output == "Hello world"
    assert heard.response.finish_reason == "stop"
    assert heard.finish_reason == "stop"
    assert (heard.usage.input_tokens, heard.usage.output_tokens) == (5, 3)
    assert heard.live_usage == Usage(5, 3, 2, 1)


def test_the_first_token_comes_before_the_model_has_finished() -> None:
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.start()
        for piece in text("first"):
            await call.send(piece)
        await go_on.wait()
        await call.send(text("", "second")[1])
        await call.send(STOP + DONE)
        await call.end()

    async def body(server: Upstream) -> list[Delta]:
        got: list[Delta] = []
        async with server.agent().run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for one in live.events(N, structured=False):
                got.append(one)
                go_on.set()
        return got

    assert with_upstream(script, body)[0] == TextDelta(N, "first")


class Out(BaseModel):
    name: str
    age: int


DOCUMENT = ['{"na', 'me": "J', 'oe", ', '"age": 3', "0}"]


@pytest.mark.parametrize("kind", [Out, NativeOutput(Out), PromptedOutput(Out)])
def test_structured_output_streams_as_fragments_of_text(kind: Any) -> None:
    heard = listen([*text(*DOCUMENT), STOP, DONE], structured=True, output_type=kind)
    assert heard.events == [JsonDelta(N, piece) for piece in DOCUMENT]
    assert heard.output == Out(name="Joe", age=30)


@pytest.mark.parametrize("kind", [Out, NativeOutput(Out), PromptedOutput(Out)])
@pytest.mark.parametrize(
    ("before", "after"),
    [(["```json\n"], ["\n```"]), (["Here ", "you are:\n\n``", "`\n"], ["\n", "```\nBye"])],
)
def test_what_stands_around_a_document_is_not_said(
    kind: Any, before: list[str], after: list[str]
) -> None:
    pieces = [*text(*before, *DOCUMENT, *after), STOP, DONE]

    async def body(server: Upstream) -> None:
        agent = server.agent(output_type=kind)
        for _ in range(2):
            # The second request goes the short way of what was learnt from the first.
            heard = await hear(agent, structured=True)
            assert heard.events == [JsonDelta(N, piece) for piece in DOCUMENT]
            assert heard.output == Out(name="Joe", age=30)

    with_upstream(saying(*pieces), body)


def test_a_document_in_one_piece_with_thinking_before_it() -> None:
    whole = "<think>hm</think>\n```json\n" + "".join(DOCUMENT) + "\n```"
    heard = listen([*text(whole), STOP, DONE], structured=True, output_type=Out)
    assert heard.events == [ReasoningDelta(N, "hm"), JsonDelta(N, "".join(DOCUMENT))]
    assert heard.output == Out(name="Joe", age=30)


def test_an_answer_without_a_document_is_said_at_its_end() -> None:
    async def body(server: Upstream) -> list[Delta]:
        async with server.agent(output_type=NativeOutput(Out)).run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            got = [one async for one in live.events(N, structured=True)]
            with pytest.raises(UnexpectedModelBehavior):
                await result.get_output()
        return got

    words = ["Sorry, ", "I ", "can't."]
    assert with_upstream(saying(*text(*words), STOP, DONE), body) == [JsonDelta(N, "".join(words))]


def test_a_clients_format_is_said_as_the_model_says_it() -> None:
    pieces = ["```json\n", '{"a": 1}', "\n```"]

    async def body(server: Upstream) -> Heard:
        scope = RequestScope(response_format={"type": "json_object"})
        token = request_scope.set(scope)
        try:
            return await hear(server.agent(), structured=True)
        finally:
            request_scope.reset(token)

    heard = with_upstream(saying(*text(*pieces), STOP, DONE), body)
    assert heard.events == [JsonDelta(N, piece) for piece in pieces]


def test_structured_output_through_a_tool_streams_as_fragments_too() -> None:
    first = chunk(tool_call(0, id="1", name="final_result", arguments=""))
    rest = [chunk(tool_call(0, arguments=piece)) for piece in DOCUMENT]
    heard = listen(
        [event(one) for one in [first, *rest]] + [event(chunk({}, "tool_calls")), DONE],
        structured=True,
        output_type=ToolOutput(Out),
    )
    assert heard.events == [JsonDelta(N, piece) for piece in DOCUMENT]
    assert heard.output == Out(name="Joe", age=30)
    # The client saw no tool call.
    assert heard.finish_reason == "stop"


def test_a_model_typed_output_asks_for_native_json() -> None:
    async def body(server: Upstream) -> Any:
        await hear(server.agent(output_type=Out), structured=True)
        return server.calls[0].body

    sent = with_upstream(saying(*text(*DOCUMENT), STOP, DONE), body)
    assert sent["response_format"]["type"] == "json_schema"
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning(field: str) -> None:
    heard = listen(
        [event(chunk({field: "hm"})), event(chunk({field: "!"})), *text("yes"), STOP, DONE]
    )
    assert heard.events == [
        ReasoningDelta(N, "hm"),
        ReasoningDelta(N, "!"),
        TextDelta(N, "yes"),
    ]
    assert heard.output == "yes"


def test_thinking_tags_are_reasoning() -> None:
    heard = listen([*text("<think>", "hm", " hm", "</think>", "yes"), STOP, DONE])
    assert heard.events == [
        ReasoningDelta(N, "hm"),
        ReasoningDelta(N, " hm"),
        TextDelta(N, "yes"),
    ]
    assert heard.output == "yes"


def test_a_refusal_after_text() -> None:
    refusal = event(chunk({"refusal": "I can't."}))

    async def body(server: Upstream) -> list[Delta]:
        async with server.agent().run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            return [one async for one in live.events(N, structured=False)]

    got = with_upstream(saying(*text("Well"), refusal, STOP, DONE), body)
    assert got == [TextDelta(N, "Well"), RefusalDelta(N, "I can't.")]


def test_a_refusal_alone() -> None:
    pieces = [event(chunk({"refusal": one})) for one in ("I ", "can't.")]
    heard = listen([*pieces, STOP, usage(3, 4), DONE])
    assert heard.events == [RefusalDelta(N, "I "), RefusalDelta(N, "can't.")]
    assert heard.output == ""
    assert heard.usage.output_tokens == 4


def test_a_model_that_has_nothing_to_say_is_asked_once() -> None:
    async def body(server: Upstream) -> tuple[Heard, int]:
        return await hear(server.agent()), len(server.calls)

    heard, calls = with_upstream(saying(*text(), STOP, usage(3, 1), DONE), body)
    assert (heard.events, heard.output, calls) == ([], "", 1)
    assert heard.finish_reason == "stop"


def test_an_answer_cut_while_it_thinks() -> None:
    heard = listen([event(chunk({"reasoning": "hm"})), event(chunk({}, "length")), DONE])
    assert heard.events == [ReasoningDelta(N, "hm")]
    assert (heard.output, heard.finish_reason) == ("", "length")
    assert heard.response.finish_reason == "length"


def test_tools_of_the_server_stay_hidden() -> None:
    heard = listen(
        [
            *text("Wait."),
            event(chunk(tool_call(0, id="1", name="secret", arguments="{}"))),
            STOP,
            DONE,
        ]
    )
    assert heard.events == [TextDelta(N, "Wait.")]


def test_what_had_streamed_stays_when_the_upstream_dies() -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(b"".join(text("a", "b")))
        call.writer.close()

    async def body(server: Upstream) -> list[Delta]:
        got: list[Delta] = []

        async def read() -> None:
            async with server.agent().run_stream("Hello") as result:
                live = live_stream(result.run_id)
                assert live is not None
                async for one in live.events(N, structured=False):
                    got.append(one)  # noqa: PERF401  # it stays when the loop raises

        with pytest.raises(UpstreamError) as caught:
            await read()
        assert caught.value.status == 502
        return got

    assert with_upstream(script, body) == [TextDelta(N, "a"), TextDelta(N, "b")]


CLIENT_TOOLS = (
    ToolDefinition(name="weather", parameters_json_schema={"type": "object"}),
    ToolDefinition(name="time", parameters_json_schema={"type": "object"}),
)


@pytest.mark.parametrize("indices", [(0, 1), (0, 0)])
def test_calls_of_the_clients_tools(indices: tuple[int, int]) -> None:
    one, two = indices
    pieces = [
        event(chunk(tool_call(one, id="a", name="weather", arguments=""))),
        event(chunk(tool_call(one, arguments='{"x":'))),
        event(chunk(tool_call(one, arguments="1}"))),
        event(chunk(tool_call(two, id="b", name="time", arguments="{}"))),
        event(chunk({}, "tool_calls")),
        DONE,
    ]

    async def body(server: Upstream) -> tuple[Heard, dict[str, Any]]:
        request_scope.set(RequestScope(client_tools=CLIENT_TOOLS, tool_choice="required"))
        heard = await hear(agent_with_form(server))
        return heard, server.calls[0].body

    heard, sent = with_upstream(saying(*pieces), body)
    assert heard.events == [
        ToolCallDelta(N, 0, "", "a", "weather"),
        ToolCallDelta(N, 0, '{"x":'),
        ToolCallDelta(N, 0, "1}"),
        ToolCallDelta(N, 1, "{}", "b", "time"),
    ]
    assert heard.finish_reason == "tool_calls"
    assert heard.output == ""
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather", "time"]
    assert sent["tool_choice"] == "required"


def test_text_before_a_call_of_the_clients_tool() -> None:
    call = event(chunk(tool_call(0, id="a", name="weather", arguments="{}")))

    async def body(server: Upstream) -> Heard:
        request_scope.set(RequestScope(client_tools=CLIENT_TOOLS))
        return await hear(agent_with_form(server))

    heard = with_upstream(saying(*text("Let me see."), call, STOP, DONE), body)
    assert heard.events == [
        TextDelta(N, "Let me see."),
        ToolCallDelta(N, 0, "{}", "a", "weather"),
    ]
    assert heard.output == "Let me see."


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "Out", "schema": Out.model_json_schema(), "strict": True},
            },
            None,
        ),
    ],
)
def test_the_clients_response_format(wanted: dict[str, Any], sent: Any) -> None:
    async def body(server: Upstream) -> tuple[Heard, Any]:
        request_scope.set(RequestScope(response_format=wanted))
        heard = await hear(agent_with_form(server), structured=True)
        return heard, server.calls[0].body

    heard, asked = with_upstream(saying(*text(*DOCUMENT), STOP, DONE), body)
    assert heard.events == [JsonDelta(N, piece) for piece in DOCUMENT]
    assert heard.output == "".join(DOCUMENT)
    if sent is not None:
        assert asked["response_format"] == sent
    else:
        assert asked["response_format"]["json_schema"]["name"] == "Out"
        assert asked["response_format"]["json_schema"]["strict"] is True
    assert len(asked["messages"]) == 1


def test_sampling_parameters_of_the_request_win() -> None:
    async def body(server: Upstream) -> dict[str, Any]:
        request_scope.set(
            RequestScope(
                settings={"temperature": 0.1, "stop_sequences": ["x"], "extra_body": {"top_k": 3}}
            )
        )
        await hear(server.agent(model_settings={"temperature": 0.9, "top_p": 0.5}))
        return server.calls[0].body

    sent = with_upstream(saying(*text("a"), STOP, DONE), body)
    assert (sent["temperature"], sent["top_p"], sent["stop"], sent["top_k"]) == (0.1, 0.5, ["x"], 3)


def test_a_result_driven_by_pydantic_ai_behaves_as_ever() -> None:
    async def body(server: Upstream) -> tuple[list[str], Any]:
        async with server.agent().run_stream("Hello") as result:
            words = [one async for one in result.stream_text(delta=True, debounce_by=None)]
            return words, result.usage

    words, counted = with_upstream(saying(*text("a", "b"), STOP, usage(5, 2), DONE), body)
    assert "".join(words) == "ab"
    assert counted.output_tokens == 2


def agent_with_form(server: Upstream) -> Any:
    from launchpad.models.agents.agent import build_agent
    from launchpad.settings import Settings

    return build_agent(
        server.config(), streaming=True, name=N, settings=Settings(), allow_client_form=True
    )


def test_without_an_agent_nothing_is_kept_behind_the_reader() -> None:
    async def body(server: Upstream) -> list[Delta]:
        from pydantic_ai.messages import ModelRequest

        from launchpad.models.direct import OpenAnswer

        messages = [ModelRequest.user_text_prompt("Hello")]
        async with OpenAnswer(server.config(), messages) as answer:
            assert isinstance(answer, ChatLive)
            got = [one async for one in answer.events(N, structured=False)]
            assert answer.usage == Usage(5, 3, 2, 1)
            assert answer.finish_reason == "stop"
        return got

    script = saying(*text("a", "b"), STOP, usage(5, 3), DONE)
    assert with_upstream(script, body) == [TextDelta(N, "a"), TextDelta(N, "b")]
