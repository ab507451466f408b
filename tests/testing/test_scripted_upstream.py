"""The scripted upstream, seen by openai-python."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from launchpad.testing import ScriptedUpstream
from launchpad.testing.prompt import Prompt
from launchpad.testing.steps import Chunk, Status, Step

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "get_time", "parameters": {}}}


class Stage(BaseModel):
    thought: str
    number: int


class Plan(BaseModel):
    title: str
    steps: list[Stage]
    note: str | None


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def ask(client: OpenAI, text: str, **options: Any) -> Any:
    return client.chat.completions.create(model="m", messages=user(text), **options)


def stream(client: OpenAI, text: str, **options: Any) -> list[ChatCompletionChunk]:
    return list(ask(client, text, stream=True, **options))


def said(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def reasons(chunks: list[ChatCompletionChunk]) -> list[str]:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return [choice.finish_reason for choice in choices if choice.finish_reason]


def test_says_the_users_words_back_streamed_and_not(client: OpenAI) -> None:
    text = "Hello, wörld! 你好"
    answer = ask(client, text)
    chunks = stream(client, text)
    assert answer.choices[0].message.content == said(chunks) == text
    assert answer.choices[0].finish_reason == "stop"
    assert reasons(chunks) == ["stop"]
    assert [c.choices[0].delta.role for c in chunks if c.choices[0].delta.role] == ["assistant"]


def test_each_token_is_a_chunk_and_counts(client: OpenAI, upstream: ScriptedUpstream) -> None:
    chunks = stream(client, "!words 20", stream_options={"include_usage": True})
    usage = chunks[-1].usage
    assert chunks[-1].choices == []
    assert usage is not None
    tokens = [c for c in chunks[:-1] if c.choices[0].delta.content]
    assert usage.completion_tokens == len(tokens) == upstream.requests[0].tokens_sent
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert ask(client, "!words 20").usage.completion_tokens == usage.completion_tokens


def test_async_client_streams(upstream: ScriptedUpstream) -> None:
    async def main() -> str:
        async with AsyncOpenAI(base_url=upstream.base_url, api_key="any") as client:
            events = await client.chat.completions.create(
                model="m", messages=user("one two three"), stream=True
            )
            return "".join([event.choices[0].delta.content or "" async for event in events])

    assert asyncio.run(main()) == "one two three"


def test_stop_and_max_tokens(client: OpenAI) -> None:
    assert ask(client, "one two three", stop=["three", "two"]).choices[0].message.content == "one "
    cut = ask(client, "one two three", max_tokens=2)
    assert cut.choices[0].message.content == "one two"
    assert cut.choices[0].finish_reason == "length"
    chunks = stream(client, "one two three", max_completion_tokens=1)
    assert (said(chunks), reasons(chunks)) == ("one", ["length"])
    assert reasons(stream(client, "one two", max_tokens=2)) == ["stop"]


def test_n_choices_interleave(client: OpenAI) -> None:
    chunks = stream(client, "one two three", n=2)
    assert said(chunks) == "one two three"
    assert said(chunks, 1) == "one two three (choice 1)"
    assert reasons(chunks) == ["stop", "stop"]
    order = [c.choices[0].index for c in chunks if c.choices[0].delta.content]
    assert order[:4] == [0, 1, 0, 1]
    assert len(ask(client, "hi", n=3).choices) == 3


def test_seed_decides_the_words(client: OpenAI) -> None:
    answers = [ask(client, "!words 9", seed=seed).choices[0].message.content for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_tool_call_streams_with_one_index_and_finishes(client: OpenAI) -> None:
    chunks = stream(client, 'get_weather {"city": "Rome", "days": 3}', tools=[WEATHER, CLOCK])
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert {call.index for call in calls} == {0}
    assert [call.id for call in calls if call.id] == [calls[0].id]
    arguments = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert arguments == '{"city": "Rome", "days": 3}'
    assert reasons(chunks) == ["tool_calls"]
    whole = ask(client, 'get_weather {"city": "Rome", "days": 3}', tools=[WEATHER])
    assert whole.choices[0].message.tool_calls[0].function.arguments == arguments
    assert whole.choices[0].message.content is None


def test_tool_choice_is_obeyed(client: OpenAI) -> None:
    def called(text: str, **options: Any) -> list[str]:
        message = ask(client, text, tools=[WEATHER, CLOCK], **options).choices[0].message
        return [call.function.name for call in message.tool_calls or []]

    both = "get_weather and get_time"
    assert called(both) == ["get_weather", "get_time"]
    assert called(both, parallel_tool_calls=False) == ["get_weather"]
    assert called(both, tool_choice="none") == []
    assert called("hello") == []
    assert called("hello", tool_choice="required") == ["get_weather"]
    named = {"type": "function", "function": {"name": "get_time"}}
    assert called("hello", tool_choice=named) == ["get_time"]


def test_tool_result_is_answered(client: OpenAI) -> None:
    asked = user("get_time please")
    first = client.chat.completions.create(model="m", messages=asked, tools=[CLOCK])
    message = first.choices[0].message
    assert message.tool_calls
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "noon"}
    history: Any = [*asked, message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="m", messages=history, tools=[CLOCK])
    assert second.choices[0].message.content == "get_time says: noon"
    with pytest.raises(openai.BadRequestError, match="tool_calls"):
        client.chat.completions.create(model="m", messages=history[:2])
    with pytest.raises(openai.BadRequestError, match="preceding"):
        client.chat.completions.create(model="m", messages=[*asked, result])


def test_length_inside_a_tool_call(client: OpenAI) -> None:
    chunks = stream(client, "get_weather", tools=[WEATHER], max_tokens=3)
    assert reasons(chunks) == ["length"]
    whole = ask(client, "get_weather", tools=[WEATHER], max_tokens=3).choices[0]
    assert (whole.finish_reason, whole.message.tool_calls[0].function.arguments) == (
        "length",
        '{"city',
    )


def test_parse_gives_the_model_generated_or_from_the_message(client: OpenAI) -> None:
    generated = client.chat.completions.parse(
        model="m", messages=user("a plan"), response_format=Plan
    )
    assert isinstance(generated.choices[0].message.parsed, Plan)
    wanted = Plan(title="T", steps=[Stage(thought="x", number=4)], note=None)
    text = f"Answer with {wanted.model_dump_json()} please"
    with client.chat.completions.stream(
        model="m", messages=user(text), response_format=Plan
    ) as events:
        for _ in events:
            pass
        assert events.get_final_completion().choices[0].message.parsed == wanted


def test_json_object(client: OpenAI) -> None:
    answer = ask(client, "hi", response_format={"type": "json_object"})
    assert answer.choices[0].message.content == '{"reply": "hi"}'


def test_strict_schemas_are_checked(client: OpenAI) -> None:
    loose = {"type": "object", "properties": {"a": {"type": "string"}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": loose, "strict": True}}
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        ask(client, "hi", response_format=format_)
    format_["json_schema"]["strict"] = False  # type: ignore[index]
    assert ask(client, "hi", response_format=format_).choices[0].message.content == "{}"


def test_reasoning_refusal_and_logprobs(client: OpenAI) -> None:
    chunks = stream(client, "!reason let me think\nhello", logprobs=True)
    thoughts = [getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks]
    assert "".join(thoughts) == "let me think"
    assert said(chunks) == "hello"
    assert next(c.choices[0].logprobs for c in chunks if c.choices[0].delta.content)
    refused = ask(client, "!refuse I will not").choices[0].message
    assert (refused.refusal, refused.content) == ("I will not", None)
    deltas = [c.choices[0].delta.refusal or "" for c in stream(client, "!refuse I will not")]
    assert "".join(deltas) == "I will not"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_status(
    client: OpenAI, upstream: ScriptedUpstream, status: int, error: type[openai.APIStatusError]
) -> None:
    upstream.script(Status(status, {"Retry-After": "7"}, message="No."))
    with pytest.raises(error) as caught:
        stream(client, "hi")
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.body == {
        "message": "No.",
        "type": caught.value.type,
        "param": None,
        "code": None,
    }
    with pytest.raises(error):
        ask(client, f"!status {status}")


def test_bad_requests_get_openais_error(client: OpenAI) -> None:
    bad: list[Any] = [{"n": 0}, {"tool_choice": "auto"}, {"stream_options": {}}, {"stop": 7}]
    for options in bad:
        with pytest.raises(openai.BadRequestError):
            ask(client, "hi", **options)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=[])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="m", input="x")


def test_api_key_and_models() -> None:
    with (
        ScriptedUpstream(api_key="right", models=["a", "b"]) as upstream,
        OpenAI(base_url=upstream.base_url, api_key="right") as right,
        OpenAI(base_url=upstream.base_url, api_key="wrong") as wrong,
    ):
        assert [model.id for model in right.models.list()] == ["a", "b"]
        with pytest.raises(openai.AuthenticationError):
            ask(wrong, "hi")


def test_reply_may_be_text_or_steps_for_a_prompt() -> None:
    def reply(prompt: Prompt) -> str | list[Step]:
        return prompt.user_text.upper() if prompt.user_text != "steps" else [Chunk("scripted")]

    with (
        ScriptedUpstream(reply) as upstream,
        OpenAI(base_url=upstream.base_url, api_key="any") as client,
    ):
        assert said(stream(client, "hello")) == "HELLO"
        assert said(stream(client, "steps")) == "scripted"


def test_requests_are_recorded_and_the_connection_is_kept(
    client: OpenAI, upstream: ScriptedUpstream
) -> None:
    ask(client, "one", temperature=0.5)
    ask(client, "two")
    first, second = upstream.requests
    assert first.body["temperature"] == 0.5
    assert first.headers["authorization"] == "Bearer any"
    assert second.body["messages"] == user("two")
    assert first.connection is second.connection
    assert (first.outcome, first.path) == ("complete", "/v1/chat/completions")


def test_scripts_go_first_then_the_standing_one(client: OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script_all(Chunk("always"))
    upstream.script(Chunk("once"))
    assert upstream.unused == 1
    assert [said(stream(client, "x")) for _ in range(3)] == ["once", "always", "always"]
    upstream.clear()
    assert said(stream(client, "x")) == "x"
