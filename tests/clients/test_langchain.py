"""LangChain's `ChatOpenAI` against a running server."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from launchpad.testing import Gate, ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.steps import Chunk, WaitFor

JOHN = '{"name": "John Doe", "age": 30}'


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def connect(server: Server, **more: Any) -> ChatOpenAI:
    options = {"model": "gpt-4o", "max_retries": 0, "stream_usage": True, **more}
    return ChatOpenAI(base_url=server.base_url, api_key=SecretStr("any"), **options)


@pytest.fixture(scope="module")
def llm(server: Server) -> ChatOpenAI:
    return connect(server)


def test_invokes(llm: ChatOpenAI) -> None:
    answer = llm.invoke([("system", "Be brief."), ("human", "one two three")])
    assert answer.content == "one two three"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > 0


def test_streams_with_usage(llm: ChatOpenAI) -> None:
    whole: AIMessageChunk | None = None
    texts: list[str] = []
    for chunk in llm.stream("!pace 0.002\none two three"):
        texts.append(str(chunk.content))
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.content == "one two three"
    assert len([text for text in texts if text]) > 1
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0


def test_streams_each_token_when_it_is_made(llm: ChatOpenAI, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("early"), WaitFor(gate), Chunk(" late"))
    said = ""
    for chunk in llm.stream("go"):
        said += str(chunk.content)
        if said == "early":
            gate.wait_reached()
            gate.open()
    assert said == "early late"


def test_async(server: Server) -> None:
    async def main() -> None:
        llm = connect(server)
        said = ""
        async for chunk in llm.astream("one two three"):
            said += str(chunk.content)
        assert said == "one two three"
        answers = await llm.abatch(["number 0", "number 1"])
        assert [answer.content for answer in answers] == ["number 0", "number 1"]

    asyncio.run(main())


def test_tools_make_the_round_trip(llm: ChatOpenAI) -> None:
    asked: list[BaseMessage] = [
        HumanMessage('!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}')
    ]
    helped = llm.bind_tools([get_weather])
    answer = helped.invoke(asked)
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    asked.append(answer)
    for call in answer.tool_calls:
        result = get_weather.invoke(call)
        assert isinstance(result, ToolMessage)
        asked.append(result)
    assert helped.invoke(asked).content == (
        "get_weather says: sunny in Paris\nget_weather says: sunny in Rome"
    )


def test_streamed_tool_calls(llm: ChatOpenAI) -> None:
    whole: AIMessageChunk | None = None
    pieces = 0
    question = (
        '!pace 0.002\n!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}'
    )
    for chunk in llm.bind_tools([get_weather]).stream(question):
        assert isinstance(chunk, AIMessageChunk)
        pieces += len(chunk.tool_call_chunks)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert [call["args"] for call in whole.tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert pieces > 2
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_tool_choice(llm: ChatOpenAI) -> None:
    forced = llm.bind_tools([get_weather], tool_choice="get_weather").invoke("Hello")
    assert [call["name"] for call in forced.tool_calls] == ["get_weather"]
    required = llm.bind_tools([get_weather], tool_choice="any").invoke("Hello")
    assert [call["name"] for call in required.tool_calls] == ["get_weather"]


# LangChain dumps openai-python's parsed events as if nothing had been parsed.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output(
    llm: ChatOpenAI, method: Literal["json_schema", "function_calling", "json_mode"]
) -> None:
    structured = llm.with_structured_output(Person, method=method)
    assert structured.invoke(f"As JSON: {JOHN}") == Person(name="John Doe", age=30)
    *_, last = structured.stream(f"As JSON: {JOHN}")
    assert last == Person(name="John Doe", age=30)


def test_structured_output_grows_while_it_streams(llm: ChatOpenAI) -> None:
    """With a dict as schema, LangChain shows what is there so far."""
    schema = Person.model_json_schema()
    structured = llm.with_structured_output(schema, method="json_schema", strict=True)
    seen = list(structured.stream(f"!pace 0.002\nAs JSON: {JOHN}"))
    assert seen[-1] == {"name": "John Doe", "age": 30}
    assert len(seen) > 2


def test_errors(server: Server, locked_server: Server) -> None:
    with pytest.raises(openai.NotFoundError):
        connect(server, model="gpt-9").invoke("Hi")
    with pytest.raises(openai.RateLimitError):
        connect(server).invoke("!status 429")
    with pytest.raises(openai.AuthenticationError):
        connect(locked_server).invoke("Hi")
    with pytest.raises(openai.APIError):
        list(connect(server).stream("!die 1\nhello my friend"))


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_the_real_model(local_server: Server) -> None:
    chunks = list(connect(local_server, max_tokens=12).stream("Say hello."))
    assert len([chunk for chunk in chunks if chunk.content]) > 2
