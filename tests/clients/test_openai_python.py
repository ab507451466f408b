"""openai-python against a running server: what its users call, nothing of Launchpad's own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from launchpad.testing import Gate, ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, Reasoning, WaitFor
from launchpad.workflows.workflow_registry import WorkflowRegistry

from .asks import JOHN, Person, user


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


@pytest.mark.parametrize("model", ["chat", "routing", "streaming"])
def test_gets_reasoning_while_it_is_made(
    client: OpenAI, upstream: ScriptedUpstream, model: str
) -> None:
    gate = Gate()
    if model == "streaming":
        upstream.script(Chunk("words"))  # its first node's; the second is asked for an object
    upstream.script(Reasoning("hm"), WaitFor(gate), Chunk('{"thinking": "a", "reply": "b"}'))
    thought, said = "", ""
    for chunk in client.chat.completions.create(model=model, messages=user("go"), stream=True):
        delta = chunk.choices[0].delta.to_dict()
        thought += str(delta.get("reasoning_content") or "")
        said += str(delta.get("content") or "")
        if thought and not gate.is_open:
            gate.wait_reached()
            gate.open()
    assert thought == "hm"
    assert said.endswith('{"thinking": "a", "reply": "b"}')


@pytest.mark.parametrize("model", ["chat", "routing"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_words_is_an_answer(
    client: OpenAI, upstream: ScriptedUpstream, model: str, stream: bool
) -> None:
    """Nothing to say, or a limit that thinking used up: no error, and not asked again."""
    before = len(upstream.requests)
    for asked, limit, reason in (("!say", 9, "stop"), ("!reason a long thought", 2, "length")):
        got: Any = client.chat.completions.create(
            model=model, messages=user(asked), max_tokens=limit, stream=stream
        )
        choices = [chunk.choices[0] for chunk in got] if stream else got.choices
        assert choices[-1].finish_reason == reason
        if not stream:
            assert choices[0].message.content == ""
    assert len(upstream.requests) == before + 2


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
