"""What each `ModelProvider` needs: an optional package, environment variables, an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from os import environ
from typing import cast

from launchpad.errors import ConfigurationError, MissingConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.extras import to_install
from launchpad.models.override import model_override
from launchpad.models.resolve import fallbacks_of, resolve
from launchpad.settings import Settings

__all__ = ["NEEDS", "check_config"]

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


NEEDS: Mapping[ModelProvider, _Needs] = {
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
    needs = NEEDS[provider]
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


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
