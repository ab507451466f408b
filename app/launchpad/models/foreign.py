"""Models of providers whose own SDKs read their answers, by way of pydantic-ai.

SDKs are optional and slow to import, so each import waits for its provider to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from launchpad.models.config import AgentConfig
from launchpad.models.config import ModelProvider as P

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from launchpad.settings import Settings

_Provider = TypeVar("_Provider")


def build(config: AgentConfig, settings: Settings) -> Model:
    """The model of one of `FOREIGN`'s providers, with our timeouts and cut detection around it."""
    from launchpad.models.openai_compatible.watchdog import patience_of
    from launchpad.models.watched import WatchedModel

    model = FOREIGN[cast("P", config.model_provider)](config, settings)
    return WatchedModel(model, patience_of(settings))


def _responses(config: AgentConfig, _: Settings) -> Model:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=config.base_url, api_key=config.api_key)
    return OpenAIResponsesModel(_name(config), provider=_asked_once(provider))


def _azure(config: AgentConfig, _: Settings) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.azure import AzureProvider

    provider = AzureProvider(azure_endpoint=config.base_url, api_key=config.api_key)
    return OpenAIChatModel(_name(config), provider=_asked_once(provider))


def _anthropic(config: AgentConfig, _: Settings) -> Model:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider = AnthropicProvider(api_key=config.api_key, base_url=config.base_url)
    return AnthropicModel(_name(config), provider=_asked_once(provider))


def _mistral(config: AgentConfig, _: Settings) -> Model:
    from pydantic_ai.models.mistral import MistralModel
    from pydantic_ai.providers.mistral import MistralProvider

    provider = MistralProvider(**_given(api_key=config.api_key, base_url=config.base_url))
    return MistralModel(_name(config), provider=provider)


def _gemini(config: AgentConfig, settings: Settings) -> Model:
    from launchpad.models.google import build as build_google

    return build_google(config, settings, vertex=False)


def _vertex(config: AgentConfig, settings: Settings) -> Model:
    from launchpad.models.google import build as build_google

    return build_google(config, settings, vertex=True)


def _bedrock(config: AgentConfig, settings: Settings) -> Model:
    from launchpad.models.bedrock import build as build_bedrock

    return build_bedrock(config, settings)


def _groq(config: AgentConfig, _: Settings) -> Model:
    from pydantic_ai.models.groq import GroqModel
    from pydantic_ai.providers.groq import GroqProvider

    provider = GroqProvider(**_given(api_key=config.api_key, base_url=config.base_url))
    return GroqModel(_name(config), provider=_asked_once(provider))


FOREIGN: Mapping[P, Callable[[AgentConfig, Settings], Model]] = {
    P.OPENAI_RESPONSES: _responses,
    P.AZURE_OPENAI: _azure,
    P.ANTHROPIC: _anthropic,
    P.MISTRAL: _mistral,
    P.GOOGLE_GEMINI: _gemini,
    P.GOOGLE_VERTEX_AI: _vertex,
    P.BEDROCK: _bedrock,
    P.GROQ: _groq,
}
"""What builds the model of each."""


def _asked_once(provider: _Provider) -> _Provider:
    """`provider`, whose SDK does not ask again by itself.

    These SDKs ask three times unless told otherwise. How often is said by `AgentConfig.retry`,
    whose retries stand in metrics and traces; the SDK's would multiply them, unseen. (Mistral's and
    Google's ask once by themselves; Bedrock's is told so in `bedrock`.)
    """
    cast("Any", provider).client.max_retries = 0
    return provider


def _name(config: AgentConfig) -> Any:
    return config.model_name


def _given(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
