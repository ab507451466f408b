"""pydantic-ai's own OpenAI model as a client: an agent elsewhere that asks Launchpad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelSettings, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse, ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from launchpad.testing import Gate, ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, WaitFor

JOHN = '{"name": "John Doe", "age": 30}'


class Person(BaseModel):
    name: str
    age: int


@asynccontextmanager
async def model_of(server: Server, name: str = "gpt-4o") -> AsyncGenerator[OpenAIChatModel]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def on_model(server: Server, body: Callable[[OpenAIChatModel], Awaitable[None]]) -> None:
    async def main() -> None:
        async with model_of(server) as model:
            await body(model)

    asyncio.run(main())


def test_runs_with_history_and_usage(server: Server, upstream: ScriptedUpstream) -> None:
    async def body(model: OpenAIChatModel) -> None:
        agent = Agent(model, instructions="Be brief.")
        first = await agent.run("one two three")
        assert first.output == "one two three"
        assert first.usage.output_tokens > 0
        again = await agent.run("and again", message_history=first.all_messages())
        assert again.output == "and again"

    on_model(server, body)
    asked = upstream.requests[-1].body["messages"]
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "user"]


def test_streams_each_token_when_it_is_made(server: Server, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("early"), WaitFor(gate), Chunk(" late"))

    async def body(model: OpenAIChatModel) -> None:
        said = ""
        async with Agent(model).run_stream("go") as result:
            async for delta in result.stream_text(delta=True, debounce_by=None):
                said += delta
                if said == "early":
                    await asyncio.to_thread(gate.wait_reached)
                    gate.open()
            assert result.usage.output_tokens > 0
        assert said == "early late"

    on_model(server, body)


@pytest.mark.parametrize("mode", [NativeOutput, ToolOutput, PromptedOutput])
def test_structured_output_in_every_mode(
    server: Server,
    mode: type[NativeOutput[Person]] | type[ToolOutput[Person]] | type[PromptedOutput[Person]],
) -> None:
    async def body(model: OpenAIChatModel) -> None:
        agent = Agent(model, output_type=mode(Person))
        result = await agent.run(f"This is {JOHN}.")
        assert result.output == Person(name="John Doe", age=30)
        question = f"!pace 0.002\nThis is {JOHN}."
        async with agent.run_stream(question) as streamed:
            seen = [one async for one in streamed.stream_output(debounce_by=None)]
        assert seen[-1] == Person(name="John Doe", age=30)

    on_model(server, body)


def test_tools_make_the_round_trip(server: Server) -> None:
    asked: list[str] = []

    async def body(model: OpenAIChatModel) -> None:
        agent = Agent(model)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            asked.append(city)
            return f"sunny in {city}"

        question = '!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}'
        result = await agent.run(question)
        assert result.output == "get_weather says: sunny in Paris\nget_weather says: sunny in Rome"
        assert sorted(asked) == ["Paris", "Rome"]
        said = ""
        async with agent.run_stream_events('!call get_weather {"city": "Oslo"}') as events:
            async for event in events:
                if event.event_kind == "agent_run_result":
                    said = event.result.output
        assert said == "get_weather says: sunny in Oslo"

    on_model(server, body)


def test_reasoning_becomes_a_thinking_part(server: Server) -> None:
    async def body(model: OpenAIChatModel) -> None:
        question = "!reason let me think\n!say Fine."
        result = await Agent(model).run(question)
        answer = result.all_messages()[-1]
        assert isinstance(answer, ModelResponse)
        [thought] = [part for part in answer.parts if isinstance(part, ThinkingPart)]
        assert thought.content == "let me think"
        assert result.output == "Fine."

    on_model(server, body)


def test_settings_and_errors(server: Server, upstream: ScriptedUpstream) -> None:
    async def body(model: OpenAIChatModel) -> None:
        settings = ModelSettings(temperature=0.3, max_tokens=50, stop_sequences=[" three"])
        result = await Agent(model, model_settings=settings).run("one two three")
        assert result.output == "one two"
        assert upstream.requests[-1].body["temperature"] == 0.3
        with pytest.raises(ModelHTTPError) as limited:
            await Agent(model).run("!status 429")
        assert limited.value.status_code == 429

    on_model(server, body)


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_the_real_model(local_server: Server) -> None:
    async def body(model: OpenAIChatModel) -> None:
        agent = Agent(model, model_settings=ModelSettings(max_tokens=12))
        async with agent.run_stream("Say hello.") as result:
            deltas = [one async for one in result.stream_text(delta=True, debounce_by=None)]
        assert len(deltas) > 2

    on_model(local_server, body)
