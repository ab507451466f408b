"""Which model a config means: its provider and name, its fallbacks."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from typing import cast

from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider, said
from launchpad.settings import Settings, get_settings

__all__ = ["fallbacks_of", "parse_model_name", "resolve"]

_log = logging.getLogger("launchpad.models")


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
        if provider is ModelProvider.LOCAL and name is not None:
            _warn_of_the_local_model(name)
    return replace(config, model_provider=provider, model_name=name)


@lru_cache(maxsize=256)
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
        elif one.partition(":")[0].lower() in frozenset(ModelProvider):
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
