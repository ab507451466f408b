"""`AgentConfig` to pydantic-ai model, for every `ModelProvider`.

A model and its HTTP clients are built once for an event loop and a config. What a provider needs
(an optional package, environment variables) is in one table, which `check_config` reads without
building anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from os import environ
from typing import TYPE_CHECKING, cast

from launchpad.errors import ConfigurationError, MissingConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider, said
from launchpad.models.extras import to_install
from launchpad.models.loops import Memo, loop_scope
from launchpad.models.override import model_override
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


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a provider needs. `keys`: any one of these variables, unless the config has a key.

    `url`: the variable of its address, where it has one; `url_needed` when there is no default.
    """

    package: str | None = None
    extra: str | None = None
    keys: tuple[str, ...] = ()
    url: str | None = None
    url_needed: bool = False
    keyless_with_url: bool = False


_NEEDS: Mapping[ModelProvider, _Needs] = {
    P.OPENAI: _Needs(keys=("OPENAI_API_KEY",), url="OPENAI_BASE_URL", keyless_with_url=True),
    P.OPENAI_RESPONSES: _Needs(
        keys=("OPENAI_API_KEY",), url="OPENAI_BASE_URL", keyless_with_url=True
    ),
    P.OPENAI_COMPATIBLE: _Needs(url_needed=True),
    P.AZURE_OPENAI: _Needs(
        keys=("AZURE_OPENAI_API_KEY",), url="AZURE_OPENAI_ENDPOINT", url_needed=True
    ),
    P.ANTHROPIC: _Needs("anthropic", "anthropic", ("ANTHROPIC_API_KEY",)),
    P.MISTRAL: _Needs("mistralai", "mistral", ("MISTRAL_API_KEY",)),
    P.GOOGLE_GEMINI: _Needs("google.genai", "google", ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
    P.GOOGLE_VERTEX_AI: _Needs("google.genai", "google"),
    P.BEDROCK: _Needs("boto3", "bedrock"),
    P.OLLAMA: _Needs(url="OLLAMA_BASE_URL"),
    P.GROQ: _Needs("groq", "groq", ("GROQ_API_KEY",)),
    P.OPENROUTER: _Needs(keys=("OPENROUTER_API_KEY",)),
    P.LOCAL: _Needs("xllamacpp", "local"),
}


def parse_model_name(text: str) -> tuple[ModelProvider, str | None]:
    """`local` or `PROVIDER:NAME`, as `LAUNCHPAD_MODEL` and `--model` take it.

    Raises `ConfigurationError` that lists the providers.
    """
    provider, _, name = text.strip().partition(":")
    try:
        found = ModelProvider(provider.lower())
    except ValueError:
        known = ", ".join(one.value for one in ModelProvider)
        raise ConfigurationError(
            f"{text!r} names no known model provider; write local or PROVIDER:NAME, where PROVIDER "
            f"is one of: {known}."
        ) from None
    if not name and found is not ModelProvider.LOCAL:
        raise ConfigurationError(f"{text!r} names no model; write {found.value}:NAME.")
    return found, name or None


def resolve(config: AgentConfig, settings: Settings | None = None) -> AgentConfig:
    """The config with the default model (`LAUNCHPAD_MODEL`) filled in where it names none."""
    if config.model_provider is not None:
        return config
    if config.model_name and ":" in config.model_name:
        provider, name = parse_model_name(config.model_name)
    else:
        provider, default = parse_model_name((settings or get_settings()).model)
        name = config.model_name or default
        if provider is P.LOCAL and name is not None:
            _warn_of_the_local_model(name)
    return replace(config, model_provider=provider, model_name=name)


@cache
def _warn_of_the_local_model(name: str) -> None:
    """Once for each name: it is asked for nowhere else than here."""
    _log.warning(
        "model_name=%r names no provider, and LAUNCHPAD_MODEL is the local model, which answers in "
        "its place. Write model_name='openai:%s', or another provider's name, for that model.",
        name,
        name,
    )


def fallbacks_of(config: AgentConfig) -> list[AgentConfig]:
    """The fallbacks of a resolved config as configs of their own. Raises `ConfigurationError`."""
    found: list[AgentConfig] = []
    for one in config.fallbacks:
        if isinstance(one, AgentConfig):
            found.append(replace(one, retry=one.retry or config.retry, fallbacks=()))
        elif not isinstance(cast("object", one), str):
            raise ConfigurationError(
                f"fallbacks holds {said(one)}; give a model's name, "
                "'PROVIDER:NAME', or an AgentConfig."
            )
        elif one.partition(":")[0].lower() in frozenset(P):
            provider, name = parse_model_name(one)
            same = provider is config.model_provider
            found.append(
                AgentConfig(
                    model_provider=provider,
                    model_name=name,
                    base_url=config.base_url if same else None,
                    api_key=config.api_key if same else None,
                    retry=config.retry,
                )
            )
        else:
            found.append(replace(config, model_name=one, fallbacks=()))
    return found


def check_config(config: AgentConfig, settings: Settings | None = None) -> None:
    """Raise `ConfigurationError` for what is certainly missing: a package, a key, an address.

    Builds and imports nothing, and asks nothing of the network. Nothing is missing under a
    `model_override`.
    """
    if model_override.get() is not None:
        return
    config = resolve(config, settings)
    for fallback in fallbacks_of(config):
        check_config(fallback, settings)
    provider = cast("ModelProvider", config.model_provider)
    needs = _NEEDS[provider]
    if provider is not P.LOCAL and not config.model_name:
        raise ConfigurationError(f"An agent on {provider.value} needs a model_name.")
    if provider is P.LOCAL and environ.get("LAUNCHPAD_LOCAL_MODEL_URL"):
        return
    if needs.extra is not None and needs.package is not None and not _is_installed(needs.package):
        raise MissingConfigurationError(
            f"Models of {provider.value} need an extra package: {to_install(needs.extra)}."
        )
    url = config.base_url or (environ.get(needs.url) if needs.url else None)
    if needs.url_needed and not url:
        variable = f" or {needs.url}" if needs.url else ""
        raise MissingConfigurationError(f"Models of {provider.value} need base_url{variable}.")
    if needs.keyless_with_url and url:
        return
    if needs.keys and not config.api_key and not any(environ.get(name) for name in needs.keys):
        names = " or ".join(needs.keys)
        raise MissingConfigurationError(
            f"Models of {provider.value} need a key: set {names} in the environment (.env is read "
            "for LAUNCHPAD_* alone)."
        )


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
        scope.at_close(lambda: _close(model))
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


async def _close(model: Model) -> None:
    """Close the HTTP client that pydantic-ai's provider made: entering and leaving is its way."""
    async with model:
        pass


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
        extra = _NEEDS[provider].extra or "openai"
        raise MissingConfigurationError(
            f"Models of {provider.value} need an extra package: {to_install(extra)}."
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"The model {provider.value}:{config.model_name} cannot be used: {error}"
        ) from error


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


_log = logging.getLogger("launchpad.models")
_OWN = frozenset({P.OPENAI, P.OPENAI_COMPATIBLE, P.OLLAMA, P.OPENROUTER, P.LOCAL})
"""Read by our own reader; the others by their SDKs."""
