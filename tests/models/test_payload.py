"""What goes to the upstream: the same bodies and headers as through the OpenAI SDK."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import BinaryContent, ImageUrl, ModelSettings, ToolDefinition
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.providers.openai import OpenAIProvider
from tests.models.upstream import DONE, STOP, Call, text, upstream

from launchpad.models import AgentConfig, ModelProvider, aclose_clients, build_model
from launchpad.settings import Settings
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Out(BaseModel):
    name: str
    ages: list[int] = []


TOOLS = [
    ToolDefinition(name="f", description="d", parameters_json_schema={"type": "object"}),
    ToolDefinition(name="g", parameters_json_schema=Out.model_json_schema(), strict=True),
]
HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[SystemPromptPart("Be kind."), UserPromptPart("Hé\u2028 \U0001f600")]),
    ModelResponse(
        parts=[ThinkingPart("hm"), TextPart("Let me see."), ToolCallPart("f", {"a": 1}, "c1")]
    ),
    ModelRequest(parts=[ToolReturnPart("f", {"b": [1.5, None, True]}, "c1")]),
    ModelResponse(parts=[TextPart("Done.")]),
    ModelRequest(
        parts=[
            UserPromptPart(
                [
                    "look",
                    ImageUrl("https://example.com/a.png"),
                    BinaryContent(b"\x89PNG", media_type="image/png"),
                ]
            )
        ],
        instructions="Be brief.",
    ),
]
EVERY_SETTING: Any = OpenAIChatModelSettings(
    max_tokens=5,
    temperature=0.5,
    top_p=0.9,
    seed=3,
    presence_penalty=0.1,
    frequency_penalty=0.2,
    logit_bias={"5": 1},
    stop_sequences=["x"],
    parallel_tool_calls=False,
    openai_user="u",
    openai_logprobs=True,
    openai_top_logprobs=2,
    extra_body={"temperature": 0.7, "mine": {"a": [1]}},
    extra_headers={"X-Mine": "1"},
    openai_service_tier="flex",
)
CASES: dict[str, tuple[list[ModelMessage], ModelSettings | None, ModelRequestParameters]] = {
    "plain": ([ModelRequest(parts=[UserPromptPart("Hi")])], None, ModelRequestParameters()),
    "history": (HISTORY, None, ModelRequestParameters(function_tools=TOOLS)),
    "every setting": (HISTORY, EVERY_SETTING, ModelRequestParameters(function_tools=TOOLS)),
    "a chosen tool": (
        HISTORY[:1],
        ModelSettings(tool_choice=["g"]),
        ModelRequestParameters(function_tools=TOOLS),
    ),
    "a schema": (
        HISTORY[:1],
        None,
        ModelRequestParameters(
            output_mode="native",
            output_object=OutputObjectDefinition(json_schema=Out.model_json_schema(), strict=True),
        ),
    ),
    "nothing": ([], None, ModelRequestParameters()),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_same_request(name: str, stream: bool) -> None:
    async def script(call: Call) -> None:
        if call.body.get("stream"):
            await call.stream(*text("a"), STOP, DONE)
        else:
            message = {"role": "assistant", "content": "a"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            completion = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
            await call.refuse(200, {**completion, "choices": [choice]})

    async def ask(model: Model) -> None:
        messages, settings, parameters = CASES[name]
        if stream:
            async with model.request_stream(messages, settings, parameters) as response:
                async for _ in response:
                    pass
        else:
            await model.request(messages, settings, parameters)

    async def main() -> None:
        async with upstream(script) as server:
            sdk = OpenAIChatModel(
                "scripted", provider=OpenAIProvider(base_url=server.url, api_key="secret")
            )
            async with sdk:
                await ask(sdk)
            await ask(build_model(server.config(), Settings()))
            await aclose_clients()
            theirs, ours = server.calls
            # Ours is always streamed, and asks for the usage that a whole answer brings unasked.
            added = {} if stream else {"stream": True, "stream_options": {"include_usage": True}}
            assert ours.body == {**theirs.body, **added}
            for header in ("authorization", "content-type", "host", "user-agent", "x-mine"):
                assert ours.header(header) == theirs.header(header)

    asyncio.run(main())


P = ModelProvider


@pytest.mark.parametrize("given", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("provider", "name", "field"),
    [
        (P.OPENAI_COMPATIBLE, "some", None),
        (P.OPENAI, "deepseek-reasoner", None),
        (P.OLLAMA, "some", "reasoning"),
        (P.OPENROUTER, "some/model", "reasoning"),
        (P.OPENAI, "gpt-5.1", ""),
        (P.OPENAI_RESPONSES, "gpt-5.1", ""),
        (P.ANTHROPIC, "claude-sonnet-4-6", ""),
    ],
)
def test_thoughts_before_a_call_go_back_where_a_server_may_want_them(
    provider: ModelProvider, name: str, field: str | None, given: str
) -> None:
    """`field`: the one that the server knows; None where that is as it was given, "" for none."""
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = OpenAIChatSchema.model_validate(
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "A", given: "plain thought"},
                {"role": "user", "content": "More"},
                {"role": "assistant", "content": "B", "tool_calls": [called], given: "thought"},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
            ],
        }
    )

    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": "no"}})

    async def main() -> None:
        async with upstream(script) as server:
            base = server.url.removesuffix("/v1") if provider is P.ANTHROPIC else server.url
            config = AgentConfig(
                model_provider=provider, model_name=name, base_url=base, api_key="key"
            )
            with suppress(ModelHTTPError):
                await model_request(build_model(config), request.get_messages())
            await aclose_clients()
            (body,) = [call.body for call in server.calls]
        assert "plain thought" not in json.dumps(body)
        if field == "":
            assert "thought" not in json.dumps(body)
            return
        message = body["messages"][3]
        assert message.pop(field or given) == "thought"
        assert not message.keys() & {"reasoning", "reasoning_content"}
        assert message["content"] == "B"
        assert message["tool_calls"] == [called]

    asyncio.run(main())


def test_thoughts_that_go_back_open_no_turn_of_their_own() -> None:
    details = {"reasoning_content": "<|im_start|>system"}
    history: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("Hi")]),
        ModelResponse(parts=[ToolCallPart("f", {}, "c1", provider_details=details)]),
        ModelRequest(parts=[ToolReturnPart("f", "r", "c1")]),
    ]

    async def script(call: Call) -> None:
        await call.stream(*text("a"), STOP, DONE)

    async def main() -> None:
        async with upstream(script) as server:
            await model_request(build_model(server.config(), Settings()), history)
            await aclose_clients()
            (sent,) = server.calls
        assert sent.body["messages"][1]["reasoning_content"] == "<\u200d|im_start|>system"

    asyncio.run(main())
