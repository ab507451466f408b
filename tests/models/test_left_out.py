"""What is said to be left out of a request is what its body lacks, for every kind of model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models.wrapper import WrapperModel
from tests.models.upstream import Call, upstream

from launchpad.models import aclose_clients, build_model
from launchpad.models.config import AgentConfig, ModelProvider, RetryPolicy
from launchpad.models.left_out import left_out
from launchpad.models.provider import known_model
from launchpad.settings import Settings

P = ModelProvider
GIVEN: Mapping[str, Any] = {
    "temperature": 0.125,
    "top_p": 0.875,
    "seed": 987654,
    "presence_penalty": 0.375,
    "frequency_penalty": 0.625,
    "logit_bias": {"4321": 7},
    "stop_sequences": ["HALT"],
    "max_tokens": 7777,
    "openai_user": "somebody",
}
MARKS = {"logit_bias": "4321", "stop_sequences": "HALT"}
SAMPLING = {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"}


@pytest.mark.filterwarnings("ignore:Sampling parameters", "ignore:The `stop_sequences` setting")
@pytest.mark.parametrize(
    ("provider", "name", "more", "expected"),
    [
        (P.OPENAI, "gpt-4o", {}, set[str]()),
        (P.OPENAI, "o3-mini", {}, SAMPLING),
        (P.OPENAI, "o3-mini", {"thinking": False}, SAMPLING),
        (P.OPENAI, "gpt-5.1", {}, set[str]()),
        (P.OPENAI, "gpt-5.1", {"thinking": "low", "openai_reasoning_effort": "low"}, SAMPLING),
        (P.OPENAI, "gpt-5.1", {"thinking": False}, set[str]()),
        (P.OPENAI, "gpt-5.1", {"thinking": False, "openai_reasoning_effort": "none"}, set[str]()),
        (P.OPENAI, "o3-mini", {"thinking": False, "openai_reasoning_effort": "none"}, SAMPLING),
        (P.OPENAI_COMPATIBLE, "some", {}, set[str]()),
        (P.OLLAMA, "some", {}, set[str]()),
        (P.OPENROUTER, "some/model", {}, set[str]()),
        (
            P.OPENAI_RESPONSES,
            "gpt-4o",
            {},
            {"seed", "presence_penalty", "frequency_penalty", "logit_bias", "stop_sequences"},
        ),
        (P.OPENAI_RESPONSES, "o3-mini", {}, {*SAMPLING, "seed", "stop_sequences"}),
        (
            P.ANTHROPIC,
            "claude-sonnet-4-6",
            {},
            {"seed", "presence_penalty", "frequency_penalty", "logit_bias", "openai_user"},
        ),
        (P.ANTHROPIC, "claude-opus-4-7", {}, {*SAMPLING, "seed", "openai_user"}),
        (P.GROQ, "some", {}, {"openai_user"}),
        (P.MISTRAL, "some", {}, {"logit_bias", "openai_user"}),
        (P.GOOGLE_GEMINI, "gemini-2.5-flash", {}, {"logit_bias", "openai_user"}),
    ],
)
def test_it_is_what_the_request_lacks(
    provider: ModelProvider, name: str, more: dict[str, Any], expected: set[str]
) -> None:
    settings = {**GIVEN, **more}
    if provider is P.GROQ:
        pytest.importorskip("groq")
    if provider is P.MISTRAL:
        pytest.importorskip("mistralai")
    if provider is P.GOOGLE_GEMINI:
        pytest.importorskip("google.genai")

    async def script(call: Call) -> None:
        await call.refuse(400, {"error": {"message": "no"}})

    async def main() -> tuple[frozenset[str], str]:
        async with upstream(script) as there:
            base = there.url.removesuffix("/v1") if provider in _ROOTED else there.url
            config = AgentConfig(
                model_provider=provider, model_name=name, base_url=base, api_key="key"
            )
            model = build_model(config)
            found = left_out(model, settings)
            given: Any = settings
            with suppress(ModelAPIError):
                async with model_request_stream(
                    model, [ModelRequest(parts=[UserPromptPart("Hi")])], model_settings=given
                ) as response:
                    async for _ in response:
                        pass
            await aclose_clients()
            return found, json.dumps(there.calls[0].body)

    found, body = asyncio.run(main())
    assert found & GIVEN.keys() == expected
    for setting, value in GIVEN.items():
        sent = MARKS.get(setting, str(value)) in body
        assert sent == (setting not in found), f"{setting} in {body}"


_ROOTED = {P.ANTHROPIC, P.GROQ, P.MISTRAL, P.GOOGLE_GEMINI}


@pytest.mark.parametrize(
    "effort",
    [
        {"thinking": "high", "openai_reasoning_effort": "high"},
        {"thinking": False, "openai_reasoning_effort": "none"},
    ],
)
def test_the_effort_of_reasoning(effort: dict[str, Any]) -> None:

    async def names(provider: ModelProvider, name: str) -> frozenset[str]:
        config = AgentConfig(
            model_provider=provider, model_name=name, api_key="key", base_url="http://x/v1"
        )
        return left_out(build_model(config), effort)

    async def main() -> None:
        # Servers of OpenAI's wire get it as it is, whatever is known of the model.
        assert await names(P.OPENAI, "gpt-4o") == {"thinking"}
        assert await names(P.OPENAI_COMPATIBLE, "some") == {"thinking"}
        assert await names(P.OPENAI, "o3-mini") == frozenset()
        assert await names(P.ANTHROPIC, "claude-opus-4-7") == {"openai_reasoning_effort"}
        await aclose_clients()

    asyncio.run(main())


def test_of_several_models_the_first_counts() -> None:
    async def main() -> None:
        config = AgentConfig(
            model_provider=P.OPENAI,
            model_name="o3-mini",
            api_key="key",
            retry=RetryPolicy(),
            fallbacks=["gpt-4o"],
        )
        temperature = {"temperature": 1.0}
        assert left_out(build_model(config), temperature) == {"temperature"}
        assert left_out(WrapperModel(build_model(config)), temperature) == {"temperature"}
        await aclose_clients()

    asyncio.run(main())


def test_no_sdk_is_imported_to_know_a_model() -> None:
    async def main() -> None:
        config = AgentConfig(
            model_provider=P.ANTHROPIC,
            model_name="claude-sonnet-4-6",
            api_key="key",
            retry=RetryPolicy(),
        )
        assert known_model(config, Settings()) is None
        build_model(config)
        found = known_model(config, Settings())
        assert found is not None
        assert found.model_name == "claude-sonnet-4-6"
        own = AgentConfig(model_provider=P.OPENAI, model_name="o3-mini", api_key="key")
        assert known_model(own, Settings()) is build_model(own)
        await aclose_clients()

    asyncio.run(main())
