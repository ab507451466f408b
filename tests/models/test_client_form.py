"""The client's tools and answer format reach the upstream as the client gave them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest
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

from launchpad.errors import UnsupportedParameterError
from launchpad.events import Delta, TextDelta, ToolCallDelta
from launchpad.models import AgentConfig, ModelProvider, RetryPolicy, aclose_clients
from launchpad.models.agents.agent import build_agent
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.direct import OpenAnswer
from launchpad.models.scope import RequestScope, request_scope
from launchpad.settings import Settings
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

N = "Node"
FREE: dict[str, Any] = {"type": "object"}
SCHEMAS: dict[str, dict[str, Any]] = {
    "empty": {},
    "any object": FREE,
    "any object inside": {"type": "object", "properties": {"meta": FREE}},
    "a map": {"type": "object", "additionalProperties": {"type": "string"}},
    "titles, defaults, formats": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "T",
        "type": "object",
        "properties": {"a": {"title": "A", "type": "string", "default": "x", "format": "date"}},
        "required": [],
    },
    "alternatives": {"type": "object", "properties": {"a": {"oneOf": [FREE, {"type": "null"}]}}},
    "null is a value": {
        "type": "object",
        "properties": {"a": {"default": None}, "b": {"const": None}, "c": {"enum": [None, "x"]}},
    },
    "references": {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/d"}, "b": {"$ref": "#"}},
        "definitions": {"d": FREE},
    },
    "tuples": {"type": "array", "prefixItems": [FREE, {"type": "string"}], "items": True},
}


def tool(name: str, parameters: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def with_upstream(body: Callable[[Upstream], Awaitable[Any]], *pieces: bytes) -> Any:
    async def script(call: Call) -> None:
        await call.stream(*(pieces or text("a")), STOP, DONE)

    async def main() -> Any:
        async with upstream(script) as server:
            try:
                return await body(server)
            finally:
                await aclose_clients()

    return asyncio.run(main())


async def chat(config: AgentConfig) -> list[Delta]:
    async with OpenAnswer(config, [ModelRequest.user_text_prompt("Hi <|im_end|>")]) as answer:
        return [one async for one in answer.events(N, structured=False)]


async def agent(config: AgentConfig) -> list[Delta]:
    node = build_agent(config, streaming=True, name=N, settings=Settings(), allow_client_form=True)
    async with node.run_stream("Hi <|im_end|>") as result:
        live = live_stream(result.run_id)
        assert live is not None
        heard = [one async for one in live.events(N, structured=False)]
        await result.get_output()
    return heard


def ask_for(request: Mapping[str, Any]) -> None:
    """Set the scope that a chat completion request has."""
    said = {"messages": [{"role": "user", "content": "Hi"}], **request}
    form = OpenAIChatSchema.model_validate(said).model_form()
    request_scope.set(RequestScope(**form))


def sent(request: Mapping[str, Any], read: Any = chat, **config: Any) -> dict[str, Any]:
    """What the upstream is asked where a client asks `request`."""

    async def body(server: Upstream) -> dict[str, Any]:
        ask_for(request)
        await read(server.config(**config))
        return server.calls[-1].body

    found: dict[str, Any] = with_upstream(body)
    return found


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize("strict", [{}, {"strict": False}, {"strict": True}], ids=str)
@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_sent_as_given(name: str, strict: dict[str, bool], read: Any) -> None:
    schema = SCHEMAS[name]
    tools = [tool("f", schema, **strict), tool("g", FREE, description="It gets.")]
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, **strict}}
    body = sent({"tools": tools, "response_format": wanted, "tool_choice": "auto"}, read)
    assert body["tools"] == tools
    assert body["response_format"] == wanted
    assert body["tool_choice"] == "auto"


@pytest.mark.parametrize(
    "provider", [ModelProvider.OPENAI, ModelProvider.OLLAMA, ModelProvider.OPENROUTER]
)
def test_so_they_are_by_every_provider_that_our_own_reader_asks(provider: ModelProvider) -> None:
    tools = [tool("f", FREE)]
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": FREE}}
    config = {"model_provider": provider, "model_name": "openai/gpt-4o"}
    body = sent({"tools": tools, "response_format": wanted}, **config)
    assert (body["tools"], body["response_format"]) == (tools, wanted)


@pytest.mark.parametrize("read", [chat, agent])
def test_so_they_are_behind_retries_and_fallbacks(read: Any) -> None:
    tools = [tool("f", SCHEMAS["tuples"], strict=True)]
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMAS["references"]}}
    more = {"retry": RetryPolicy(attempts=2), "fallbacks": ["another"]}
    body = sent({"tools": tools, "response_format": wanted}, read, **more)
    assert (body["tools"], body["response_format"]) == (tools, wanted)


def test_any_json_object() -> None:
    body = sent({"response_format": {"type": "json_object"}})
    assert body["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("read", [chat, agent])
def test_nothing_is_said_beside_it_where_the_request_has_it(read: Any) -> None:
    """pydantic-ai knows no such mode of these models, behind whatever server."""
    config = {"model_provider": ModelProvider.OPENROUTER, "model_name": "deepseek/deepseek-chat"}
    body = sent({"response_format": {"type": "json_object"}}, read, **config)
    assert body["response_format"] == {"type": "json_object"}
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_the_operator_s_own_body_wins() -> None:
    mine = {"type": "json_object"}
    body = sent(
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": FREE}}},
        model_settings={"extra_body": {"response_format": mine}},
    )
    assert body["response_format"] == mine


def test_a_tool_without_parameters_has_none() -> None:
    body = sent({"tools": [{"type": "function", "function": {"name": "f"}}]})
    assert body["tools"] == [tool("f", {"type": "object", "properties": {}})]


def test_the_agent_s_own_tools_and_output_are_as_pydantic_ai_has_them() -> None:
    class Out(BaseModel):
        name: str = ""

    def look(at: str = "") -> str:
        """Look at it."""
        return at

    form = {"tools": [tool("f", FREE)], "response_format": {"type": "json_object"}}
    config = {"tools": [look], "output_type": Out}
    pieces = [*text('{"name":', ' "x"}')]

    async def bodies(server: Upstream) -> list[dict[str, Any]]:
        for request in ({}, form):
            ask_for(request)
            await agent(server.config(**config))
        return [call.body for call in server.calls]

    alone, beside = with_upstream(bodies, *pieces)
    assert [one["function"]["name"] for one in beside["tools"]] == ["look", "f"]
    assert beside["tools"] == [*alone["tools"], *form["tools"]]
    assert beside["response_format"] == alone["response_format"]
    assert beside["response_format"]["type"] == "json_schema"


def test_a_request_that_failed_leaves_nothing_to_the_next() -> None:
    async def body(server: Upstream) -> dict[str, Any]:
        ask_for({"tools": [tool("f", FREE)], "response_format": {"type": "json_object"}})
        with pytest.raises(Exception, match="could not be reached"):
            await chat(server.config(base_url="http://127.0.0.1:9/v1"))
        plain = build_agent(server.config(), streaming=False, name=N, settings=Settings())
        await plain.run("Hi")
        return server.calls[-1].body

    assert {"tools", "response_format"}.isdisjoint(with_upstream(body))


ANTHROPIC = AgentConfig(
    model_provider=ModelProvider.ANTHROPIC,
    # It has no structured output.
    model_name="claude-3-haiku-20240307",
    base_url="http://127.0.0.1:9",
    api_key="key",
)


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize("fallbacks", [(), (ANTHROPIC,)])
def test_a_form_that_a_provider_does_not_take_is_the_client_s_error(
    read: Any, fallbacks: tuple[AgentConfig, ...]
) -> None:
    pytest.importorskip("anthropic")

    async def main() -> None:
        wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": FREE}}
        ask_for({"tools": [tool("f", FREE)], "response_format": wanted})
        with pytest.raises(UnsupportedParameterError) as caught:
            await read(replace(ANTHROPIC, fallbacks=fallbacks))
        assert caught.value.param == "response_format"
        assert "not supported by this model" in str(caught.value)
        await aclose_clients()

    asyncio.run(main())


@pytest.mark.parametrize("read", [chat, agent])
@pytest.mark.parametrize("tools", [[], [tool("f", FREE)]])
def test_joiners_that_a_model_copied_are_taken_out(read: Any, tools: list[Any]) -> None:
    """The prompt's token reached the upstream broken; the client gets it as it was written."""

    async def body(server: Upstream) -> tuple[list[Delta], str]:
        ask_for({"tools": tools})
        heard = await read(server.config())
        return heard, server.calls[-1].body["messages"][-1]["content"]

    call = event(chunk(tool_call(0, id="c", name="f", arguments='{"a":"<\u200d|im_end|>"}')))
    pieces = [*text("It says <", "\u200d|im_", "end|>."), *([call] if tools else [])]
    heard, asked = with_upstream(body, *pieces)
    assert asked == "Hi <\u200d|im_end|>"
    said = "".join(one.text for one in heard if isinstance(one, TextDelta))
    assert said == "It says <|im_end|>."
    calls = [one for one in heard if isinstance(one, ToolCallDelta)]
    assert "".join(one.arguments for one in calls) == ('{"a":"<|im_end|>"}' if tools else "")
