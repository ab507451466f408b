"""`AgentConfig` to pydantic-ai model, for every `ModelProvider`.

A model and its HTTP clients are built once for an event loop and a config.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from launchpad.errors import ConfigurationError, MissingConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.extras import to_install
from launchpad.models.loops import LoopScope, Memo, loop_scope
from launchpad.models.needs import NEEDS, check_config
from launchpad.models.override import model_override
from launchpad.models.resolve import fallbacks_of, parse_model_name, resolve
from launchpad.settings import Settings, get_settings

if TYPE_CHECKING:
    from pydantic_ai.models import Model

__all__ = [
    "build_model",
    "check_config",
    "fallbacks_of",
    "known_model",
    "parse_model_name",
    "resolve",
    "takes_tools",
]

_MODELS = "models"
P = ModelProvider


def takes_tools(config: AgentConfig, settings: Settings | None = None) -> bool:
    """Whether the config's model can call tools, as far as it can be told without building it.

    The local model cannot; of others it is known only with their answer. Its fallbacks do not
    count. Raises `ConfigurationError` for a model name that cannot be read.
    """
    override = model_override.get()
    if override is not None:
        try:
            return bool(override.profile.get("supports_tools", True))
        except NotImplementedError:
            # A FallbackModel has no profile of its own.
            return True
    return resolve(config, settings).model_provider is not P.LOCAL


def build_model(config: AgentConfig, settings: Settings | None = None) -> Model:
    """The pydantic-ai model for `config`: the same one for equal configs on one event loop.

    Outside a loop it is built anew each time; a `model_override` comes before any config.
    Raises `ConfigurationError`.
    """
    override = model_override.get()
    if override is not None:
        return override
    settings = settings or get_settings()
    if config.retry is not None or config.fallbacks:
        from launchpad.models.resilience import resilient  # free for those that want none

        return resilient(resolve(config, settings), settings)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _build(resolve(config, settings), settings)
    scope = loop_scope()
    memo: Memo[Model] = scope.memo(_MODELS)

    def build() -> Model:
        model = _build(resolve(config, settings), settings)
        # Keys may be as many as clients: what the memo forgets is to be closed, not kept here.
        _close_with(model, scope)
        return model

    return memo.get(_key(config, settings), build)


def known_model(config: AgentConfig, settings: Settings) -> Model | None:
    """The model that `config` asks first, for who is on a loop and only wants to look at it.

    None where an SDK would have to be imported for it, which its first run does.
    Raises `ConfigurationError`.
    """
    one = replace(resolve(config, settings), retry=None, fallbacks=())
    if one.model_provider in _OWN:
        return build_model(one, settings)
    memo: Memo[Model] = loop_scope().memo(_MODELS)
    return memo.find(_key(one, settings)) or memo.find(_key(config, settings))


def _key(config: AgentConfig, settings: Settings) -> tuple[object, ...]:
    # What a config that names no model resolves to is in it too: `settings.model`.
    return (
        config.model_provider,
        config.model_name,
        config.base_url,
        config.api_key,
        *model_settings_key(settings),
    )


def reads_upstream_itself(config: AgentConfig) -> bool:
    """Whether our own reader asks the model, so that no other SDK has to be imported."""
    return resolve(config).model_provider in _OWN


def model_settings_key(settings: Settings) -> tuple[object, ...]:
    """The settings that a built model depends on."""
    return (
        settings.model,
        settings.connect_timeout,
        settings.first_token_timeout,
        settings.stall_timeout,
        settings.local_max_tokens,
    )


def _close_with(model: Model, scope: LoopScope) -> None:
    """Close the HTTP client that pydantic-ai's provider made once nobody uses `model` any more.

    While a request is under way its model does.
    """
    while (wrapped := getattr(model, "wrapped", None)) is not None:
        model = wrapped
    provider = model.provider
    if provider is None:
        return

    async def close() -> None:
        # Entering and leaving is its way.
        async with provider:
            pass

    scope.at_end_of(model, close)


def _build(config: AgentConfig, settings: Settings) -> Model:
    check_config(config, settings)
    provider = cast("ModelProvider", config.model_provider)
    try:
        if provider in _OWN:
            from launchpad.models.openai_compatible.models import build

            return build(config, settings)
        from launchpad.models import foreign

        return foreign.build(config, settings)
    except ConfigurationError:
        raise
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) and "SOCKS" in str(error):
            # httpx's words for a proxy of the environment, whose package is no extra of ours.
            from launchpad.models.no_socks import no_socks

            raise no_socks() from error
        extra = NEEDS[provider].extra or "openai"
        raise MissingConfigurationError(
            f"Models of {provider.value} need an extra package: {to_install(extra)}."
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"The model {provider.value}:{config.model_name} cannot be used: {error}"
        ) from error


_OWN = frozenset({P.OPENAI, P.OPENAI_COMPATIBLE, P.OLLAMA, P.OPENROUTER, P.LOCAL})
"""Read by our own reader; the others by their SDKs."""
