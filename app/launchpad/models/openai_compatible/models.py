"""The pydantic-ai models whose upstream is read by `StreamingOpenAI`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from os import environ
from typing import Any, cast

from genai_prices import calc_price
from pydantic_ai import ModelSettings
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.usage import RequestUsage

from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.http.route import proxy_for
from launchpad.models.no_socks import no_socks
from launchpad.models.openai_compatible.client import Locate, StreamingOpenAI, asked_form
from launchpad.models.openai_compatible.reasoning_back import SendsReasoningBack
from launchpad.models.openai_compatible.request import Endpoint
from launchpad.models.openai_compatible.stream import Reading
from launchpad.models.openai_compatible.watchdog import patience_of
from launchpad.settings import Settings

_NO_KEY = "not-needed"
_LOCAL_NAME = "local"
_LOCAL_PROFILE = ModelProfile(
    supports_json_schema_output=True,
    supports_json_object_output=True,
    default_structured_output_mode="native",
    supports_tools=False,
)


class _AsGiven(Model):
    """A model that leaves a client's tools and format as they are: `ClientForm` puts them back."""

    def customize_request_parameters(
        self, model_request_parameters: ModelRequestParameters
    ) -> ModelRequestParameters:
        """As the model's own, for what is not the client's."""
        given, form = model_request_parameters, asked_form()
        if form is None:
            return super().customize_request_parameters(given)
        output = given.output_object if form.response_format is not None else None
        ours = replace(
            given,
            function_tools=[tool for tool in given.function_tools if not form.owns(tool)],
            output_object=given.output_object if output is None else None,
        )
        changed = super().customize_request_parameters(ours)
        clients = [tool for tool in given.function_tools if form.owns(tool)]
        return replace(
            changed,
            function_tools=[*changed.function_tools, *clients],
            output_object=changed.output_object if output is None else output,
        )


class _ChatModel(_AsGiven, OpenAIChatModel):
    reads_plainly = True


class _CompatibleModel(SendsReasoningBack, _ChatModel):
    pass


def build(config: AgentConfig, settings: Settings) -> Model:
    """The model for a config of OPENAI, OPENAI_COMPATIBLE, OLLAMA, OPENROUTER or LOCAL."""
    if config.model_provider is ModelProvider.OLLAMA:
        return _ollama(config, settings)
    if config.model_provider is ModelProvider.OPENROUTER:
        return _openrouter(config, settings)
    if config.model_provider is ModelProvider.LOCAL:
        return _local(config, settings)
    base_url = config.base_url
    api_key = config.api_key
    if config.model_provider is ModelProvider.OPENAI:
        base_url = base_url or environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        api_key = api_key or environ.get("OPENAI_API_KEY")
    name = cast("str", config.model_name)
    client = _client(cast("str", base_url), api_key, settings, OpenAIProvider.model_profile(name))
    if config.model_provider is ModelProvider.OPENAI and _is_openais(name, client):
        return _ChatModel(name, provider=OpenAIProvider(openai_client=client))
    # OpenAI's own servers refuse fields of a message that they do not know.
    kind = _ChatModel if _is_at_openai(client) else _CompatibleModel
    return kind(name, provider=_compatible("compatible", client))


def _is_at_openai(client: StreamingOpenAI) -> bool:
    return client.base_url.host.endswith(("openai.com", "openai.azure.com"))


def _is_openais(name: str, client: StreamingOpenAI) -> bool:
    """Whether it is a model of OpenAI's: asked there, or by a name in pydantic-ai's price list."""
    if client.base_url.host.endswith("openai.com"):
        return True
    try:
        calc_price(RequestUsage(), name, provider_id="openai")
    except LookupError:
        return False
    return True


def _compatible(name: str, client: StreamingOpenAI) -> OpenAICompatibleProvider:
    """A provider under a name of its own, with OpenAI's profiles.

    Under OpenAI's, or any with "openai" in it, pydantic-ai would search OpenAI's prices for the
    model after each answer, which takes long and, where one has the same name, finds the wrong one.
    """
    profile = OpenAIProvider.model_profile
    return OpenAICompatibleProvider(name, openai_client=client, profile=profile)


def _ollama(config: AgentConfig, settings: Settings) -> Model:
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.providers.ollama import OllamaProvider

    base_url = config.base_url or environ.get("OLLAMA_BASE_URL") or "http://localhost:11434/v1"
    api_key = config.api_key or environ.get("OLLAMA_API_KEY")
    name = cast("str", config.model_name)
    client = _client(base_url, api_key, settings, OllamaProvider.model_profile(name))

    class Model(SendsReasoningBack, _AsGiven, OllamaModel):
        """Ollama's."""

        reads_plainly = True

    return Model(name, provider=OllamaProvider(openai_client=client))


def _openrouter(config: AgentConfig, settings: Settings) -> Model:
    from pydantic_ai.models.openrouter import OpenRouterModel
    from pydantic_ai.providers.openrouter import OpenRouterProvider

    base_url = config.base_url or "https://openrouter.ai/api/v1"
    api_key = config.api_key or environ.get("OPENROUTER_API_KEY")
    name = cast("str", config.model_name)
    client = _client(base_url, api_key, settings, OpenRouterProvider.model_profile(name))

    class Model(SendsReasoningBack, _AsGiven, OpenRouterModel):
        """OpenRouter's."""

    return Model(name, provider=OpenRouterProvider(openai_client=client))


def _local(config: AgentConfig, settings: Settings) -> Model:
    """The model inside this machine. It starts with the first request, not here."""
    from launchpad.models import local

    async def locate() -> Endpoint:
        found = await asyncio.to_thread(local.endpoint, settings)
        url = found.base_url.rstrip("/") + "/chat/completions"
        return Endpoint(url, {"Authorization": f"Bearer {found.api_key}"})

    client = _client("http://127.0.0.1/v1", None, settings, _LOCAL_PROFILE, locate)
    return _ChatModel(
        config.model_name or _LOCAL_NAME,
        provider=_compatible("local", client),
        profile=_LOCAL_PROFILE,
        # Always set: llama.cpp would generate until its context is full.
        settings=ModelSettings(max_tokens=settings.local_max_tokens),
    )


def _client(
    base_url: str,
    api_key: str | None,
    settings: Settings,
    profile: Any,
    locate: Locate | None = None,
) -> StreamingOpenAI:
    if (proxy_for(base_url) or "").lower().startswith("socks"):
        raise no_socks()
    known: dict[str, Any] = dict(profile or {})
    return StreamingOpenAI(
        base_url=base_url,
        api_key=api_key or _NO_KEY,
        patience=patience_of(settings),
        reading=Reading(
            tags=known.get("thinking_tags", ("<think>", "</think>")),
            thinking_field=known.get("openai_chat_thinking_field"),
            hold_leading_space=known.get("ignore_streamed_leading_whitespace", False),
        ),
        locate=locate,
    )
