"""openai-python against a running server: what its users call, nothing of Launchpad's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from launchpad.testing import Gate, ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, Die, Status, WaitFor
from launchpad.workflows.workflow_registry import WorkflowRegistry

from .conftest import KEY

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


class Person(BaseModel):
    name: str
    age: int


JOHN = '{"name": "John Doe", "age": 30}'
JOHN_SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as made:
        yield made


def test_lists_and_retrieves_models(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids == [member.lower() for member in WorkflowRegistry.__members__]
    assert client.models.retrieve("chat").object == "model"


def test_answers(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=user("Good morning to you"))
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-4o"
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "Good morning to you"
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streams_chunk_by_chunk(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model="gpt-4o", messages=user("one two three"), stream=True)
    )
    first, *middle, last = chunks
    assert {chunk.id for chunk in chunks} == {first.id}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {"gpt-4o"}
    assert first.choices[0].delta.role == "assistant"
    assert first.choices[0].delta.content == ""
    assert [chunk.choices[0].delta.role for chunk in middle] == [None] * len(middle)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three"
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].delta.content is None
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)


def test_gets_each_token_when_it_is_made(client: OpenAI, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("early"), WaitFor(gate), Chunk(" late"))
    seen = ""
    stream = client.chat.completions.create(model="chat", messages=user("go"), stream=True)
    for chunk in stream:
        seen += chunk.choices[0].delta.content or ""
        if seen == "early":
            gate.wait_reached()
            gate.open()
    assert seen == "early late"


def test_leaving_early_ends_the_upstream_s_work(client: OpenAI, upstream: ScriptedUpstream) -> None:
    before = len(upstream.requests)
    with client.chat.completions.create(
        model="chat", messages=user("!hang 2\nhello my friend"), stream=True
    ) as stream:
        next(iter(stream))
    upstream.wait_idle()
    assert upstream.requests[before].outcome == "left"


def test_usage_is_a_last_chunk_without_choices(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="chat",
            messages=user("one two three"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert [chunk.usage for chunk in others] == [None] * len(others)
    whole = client.chat.completions.create(model="chat", messages=user("one two three"))
    assert whole.usage == last.usage


def test_streamed_and_whole_say_the_same(client: OpenAI) -> None:
    asked = user("!reason let me think\n!say Fine, thanks.")
    whole = client.chat.completions.create(model="chat", messages=asked).choices[0].message
    said = {"content": "", "reasoning_content": ""}
    for chunk in client.chat.completions.create(model="chat", messages=asked, stream=True):
        delta = chunk.choices[0].delta.to_dict()
        for name in said:
            said[name] += str(delta.get(name) or "")
    assert said == {"content": "Fine, thanks.", "reasoning_content": "let me think"}
    assert whole.content == said["content"]
    assert whole.to_dict()["reasoning_content"] == said["reasoning_content"]


def test_refusals(client: OpenAI) -> None:
    asked = user("!refuse I will not.")
    message = client.chat.completions.create(model="chat", messages=asked).choices[0].message
    assert message.refusal == "I will not."
    with client.chat.completions.stream(model="chat", messages=asked) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.refusal == "I will not."


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_have_their_own_indices(client: OpenAI, stream: bool) -> None:
    said: dict[int, str] = {}
    reasons: dict[int, str | None] = {}
    if stream:
        for chunk in client.chat.completions.create(
            model="chat", messages=user("!words 5"), n=3, stream=True
        ):
            [part] = chunk.choices
            said[part.index] = said.get(part.index, "") + (part.delta.content or "")
            reasons[part.index] = part.finish_reason
    else:
        answer = client.chat.completions.create(model="chat", messages=user("!words 5"), n=3)
        for choice in answer.choices:
            said[choice.index] = choice.message.content or ""
            reasons[choice.index] = choice.finish_reason
    assert sorted(said) == [0, 1, 2]
    assert all(len(text.split()) == 5 for text in said.values())
    assert reasons == {0: "stop", 1: "stop", 2: "stop"}


@pytest.mark.parametrize("stream", [False, True])
def test_stop_and_max_tokens(client: OpenAI, stream: bool) -> None:
    def ask(**parameters: Any) -> tuple[str, str | None]:
        got: Any = client.chat.completions.create(
            model="chat", messages=user("one two three four"), stream=stream, **parameters
        )
        if not stream:
            return got.choices[0].message.content, got.choices[0].finish_reason
        text, reason = "", None
        for chunk in got:
            text += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason or reason
        return text, reason

    assert ask(stop=" three") == ("one two", "stop")
    assert ask(stop=["four", " two"]) == ("one", "stop")
    for limit in ("max_tokens", "max_completion_tokens"):
        text, reason = ask(**{limit: 2})
        assert reason == "length"
        assert "one two three four".startswith(text)
        assert "four" not in text


def test_sampling_parameters_reach_the_model(client: OpenAI, upstream: ScriptedUpstream) -> None:
    client.chat.completions.create(
        model="chat",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
        ],
        temperature=0.5,
        top_p=0.9,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100},
        user="someone",
    )
    asked = upstream.requests[-1].body
    wanted = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"50256": -100},
        "user": "someone",
    }
    assert {name: asked.get(name) for name in wanted} == wanted
    assert [message["role"] for message in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_make_the_round_trip(client: OpenAI, stream: bool) -> None:
    """Two parallel calls, streamed as deltas; their results go back and are answered."""
    asked = user('!call get_weather {"city": "Paris"}\n!call get_time {}\nWhat now?')
    calls: dict[int, dict[str, str]] = {}
    if stream:
        reason = None
        for chunk in client.chat.completions.create(
            model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK], stream=True
        ):
            reason = chunk.choices[0].finish_reason or reason
            for piece in chunk.choices[0].delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                assert piece.function is not None
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    else:
        choice = client.chat.completions.create(
            model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK]
        ).choices[0]
        reason = choice.finish_reason
        for index, whole in enumerate(choice.message.tool_calls or []):
            assert whole.type == "function"
            calls[index] = {
                "id": whole.id,
                "name": whole.function.name,
                "arguments": whole.function.arguments,
            }
    assert reason == "tool_calls"
    assert [call["name"] for call in calls.values()] == ["get_weather", "get_time"]
    assert json.loads(calls[0]["arguments"]) == {"city": "Paris"}
    assert json.loads(calls[1]["arguments"]) == {}
    assert calls[0]["id"] != calls[1]["id"]
    asked += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for call in calls.values()
            ],
        },
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "sunny"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": "noon"},
    ]
    answer = client.chat.completions.create(
        model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK]
    ).choices[0]
    assert answer.message.content == "get_weather says: sunny\nget_time says: noon"
    assert answer.finish_reason == "stop"


def test_tool_choice_is_obeyed(client: OpenAI) -> None:
    def names(choice: Any, **more: Any) -> list[str]:
        message = (
            client.chat.completions.create(
                model="chat",
                messages=user("Hello"),
                tools=[WEATHER, CLOCK],
                tool_choice=choice,
                **more,
            )
            .choices[0]
            .message
        )
        return [c.function.name for c in message.tool_calls or [] if c.type == "function"]

    assert names("none") == []
    assert names("auto") == []
    assert len(names("required")) == 1
    assert names({"type": "function", "function": {"name": "get_time"}}) == ["get_time"]


def test_a_tool_call_cut_by_length(client: OpenAI) -> None:
    asked = user('!call get_weather {"city": "A city with quite a long name indeed"}')
    parameters: dict[str, Any] = {
        "model": "chat",
        "messages": asked,
        "tools": [WEATHER],
        "max_tokens": 3,
    }
    whole = client.chat.completions.create(**parameters).choices[0]
    assert whole.finish_reason == "length"
    assert whole.message.tool_calls is not None
    [call] = whole.message.tool_calls
    assert call.type == "function"
    streamed, reason = "", None
    for chunk in client.chat.completions.create(stream=True, **parameters):
        reason = chunk.choices[0].finish_reason or reason
        for piece in chunk.choices[0].delta.tool_calls or []:
            assert piece.function is not None
            streamed += piece.function.arguments or ""
    assert (streamed, reason) == (call.function.arguments, "length")


def test_parse(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="John Doe", age=30)
    tools = [openai.pydantic_function_tool(Person, name="save_person")]
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=user(f"save_person {JOHN}"), tools=tools
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Person(name="John Doe", age=30)


def test_stream_helper_with_text_and_usage(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="gpt-4o",
        messages=user("one two three"),
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event.delta for event in events if event.type == "content.delta"]
    assert "".join(deltas) == "one two three"
    assert [event.content for event in events if event.type == "content.done"] == ["one two three"]
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].message.content == "one two three"
    assert final.usage is not None


def test_stream_helper_parses_as_it_goes(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=Person
    ) as stream:
        seen = [event.parsed for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="John Doe", age=30)
    assert len([value for value in seen if value]) > 1


def test_stream_helper_with_tools(client: OpenAI) -> None:
    tools = [openai.pydantic_function_tool(Person, name="save_person")]
    with client.chat.completions.stream(
        model="gpt-4o", messages=user(f"save_person {JOHN}"), tools=tools
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.delta" in kinds
    assert "tool_calls.function.arguments.done" in kinds
    [call] = final.message.tool_calls or []
    assert call.function.parsed_arguments == Person(name="John Doe", age=30)
    assert final.finish_reason == "tool_calls"


@pytest.mark.parametrize("schema", [{"type": "json_object"}, JOHN_SCHEMA])
def test_json_formats_stream_as_fragments(client: OpenAI, schema: Any) -> None:
    chunks = client.chat.completions.create(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=schema, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert json.loads("".join(pieces)) == {"name": "John Doe", "age": 30}
    assert len(pieces) > 4


def test_two_nodes_in_one_message(client: OpenAI) -> None:
    """Document 001's workflow: text, then an object."""
    asked = user("Hello, how are you?")
    nodes: dict[str, str] = {}
    for chunk in client.chat.completions.create(model="default", messages=asked, stream=True):
        extra = (chunk.model_extra or {}).get("launchpad")
        if extra:
            words = chunk.choices[0].delta.content or ""
            nodes[extra["node"]] = nodes.get(extra["node"], "") + words
    assert list(nodes) == ["TextStreamingNode", "StructuredStreamingNode"]
    assert nodes["TextStreamingNode"] == "Hello, how are you?"
    assert nodes["StructuredStreamingNode"].startswith("\n\n{")
    assert set(json.loads(nodes["StructuredStreamingNode"])) == {"thinking", "reply"}
    whole = client.chat.completions.create(model="default", messages=asked, stream=False)
    assert whole.choices[0].message.content == "".join(nodes.values())


def test_errors_are_openai_s(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=user("Hi"))
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gpt-4o", input="Hi")
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="chat", messages=[])
    assert bad.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="streaming", messages=user("Hi"), tools=[WEATHER])
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param == "tools"


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstream_s_failures_keep_their_kind(client: OpenAI, stream: bool) -> None:
    def ask(status: int) -> None:
        client.chat.completions.create(
            model="chat", messages=user(f"!status {status}"), stream=stream
        )

    with pytest.raises(openai.RateLimitError) as limited:
        ask(429)
    assert limited.value.response.headers["retry-after"] == "1"
    for status in (500, 503):
        with pytest.raises(openai.InternalServerError):
            ask(status)


def test_retries_what_may_be_retried(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(503, {"Retry-After": "0"}))
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=1) as client:
        answer = client.chat.completions.create(model="chat", messages=user("Hello"))
    assert answer.choices[0].message.content == "Hello"


def test_a_failure_in_mid_stream_is_an_api_error(
    client: OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk("half an"), Die())
    seen = ""

    def read() -> None:
        nonlocal seen
        for chunk in client.chat.completions.create(model="chat", messages=user("go"), stream=True):
            seen += chunk.choices[0].delta.content or ""

    with pytest.raises(openai.APIError):
        read()
    assert seen == "half an"


def test_keys(locked_server: Server) -> None:
    for key in ("wrong", KEY):
        with OpenAI(base_url=locked_server.base_url, api_key=key, max_retries=0) as client:
            if key == KEY:
                assert client.models.list().data
                continue
            with pytest.raises(openai.AuthenticationError) as refused:
                client.chat.completions.create(model="chat", messages=user("Hi"))
            assert refused.value.code == "invalid_api_key"


def test_async(server: Server) -> None:
    async def main() -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
            answer, *others = await asyncio.gather(
                *[
                    client.chat.completions.create(model="chat", messages=user(f"number {i}"))
                    for i in range(4)
                ]
            )
            assert answer.choices[0].message.content == "number 0"
            assert [o.choices[0].message.content for o in others] == [
                "number 1",
                "number 2",
                "number 3",
            ]
            said = ""
            async for chunk in await client.chat.completions.create(
                model="chat", messages=user("one two three"), stream=True
            ):
                said += chunk.choices[0].delta.content or ""
            assert said == "one two three"
            async with client.chat.completions.stream(
                model="chat", messages=user(f"This is {JOHN}."), response_format=Person
            ) as stream:
                final = await stream.get_final_completion()
            assert final.choices[0].message.parsed == Person(name="John Doe", age=30)
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="gpt-9", messages=user("Hi"))

    asyncio.run(main())


def test_async_leaving_early(server: Server, upstream: ScriptedUpstream) -> None:
    before = len(upstream.requests)

    async def main() -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="any") as client:
            stream = await client.chat.completions.create(
                model="chat", messages=user("!hang 1\nhello my friend"), stream=True
            )
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(main())
    upstream.wait_idle()
    assert upstream.requests[before].outcome == "left"


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_the_real_model(local_server: Server) -> None:
    with OpenAI(base_url=local_server.base_url, api_key="any", max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-4o",
                messages=user("Say hello."),
                max_tokens=12,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        *_, finish, usage = chunks
        assert len([chunk for chunk in chunks[:-2] if chunk.choices[0].delta.content]) > 2
        assert finish.choices[0].finish_reason in {"stop", "length"}
        assert usage.usage is not None
        assert 0 < usage.usage.completion_tokens <= 12
        answer = client.chat.completions.parse(
            model="gpt-4o",
            messages=user("Who is John, 30 years old?"),
            response_format=Person,
            max_tokens=60,
            temperature=0,
        )
        assert isinstance(answer.choices[0].message.parsed, Person)
