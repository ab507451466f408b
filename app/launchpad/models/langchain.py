"""The configured model as a LangChain chat model, for `LangChainStreamingNode`s."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from os import environ
from typing import TYPE_CHECKING, Any, TypeVar

from launchpad.errors import ConfigurationError, MissingConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.extras import to_install
from launchpad.models.loops import LoopScope, loop_scope
from launchpad.models.openai_compatible.watchdog import patience_of
from launchpad.models.provider import check_config, resolve
from launchpad.settings import Settings, get_settings

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = ["build_aside", "chat_model"]

Built = TypeVar("Built")

_scope: ContextVar[LoopScope | None] = ContextVar("launchpad_langchain_scope", default=None)

_BASE_URLS = {
    ModelProvider.OLLAMA: ("OLLAMA_BASE_URL", "http://localhost:11434/v1"),
    ModelProvider.OPENROUTER: (None, "https://openrouter.ai/api/v1"),
}
_KEYS = {
    ModelProvider.OLLAMA: "OLLAMA_API_KEY",
    ModelProvider.OPENROUTER: "OPENROUTER_API_KEY",
}


async def build_aside(build: Callable[[], Built]) -> Built:
    """What `build` makes, in a thread: LangChain's packages take a second to import.

    The HTTP clients of the `chat_model`s that it makes belong to this event loop.
    """
    token = _scope.set(loop_scope())
    try:
        return await asyncio.to_thread(build)
    finally:
        _scope.reset(token)


def chat_model(model: str | None = None, **options: Any) -> ChatOpenAI:
    """The default model (`LAUNCHPAD_MODEL`), or `PROVIDER:NAME`, as LangChain has it.

    For use in `get_runnable`. `options` are `ChatOpenAI`'s. Providers that speak OpenAI's chat
    completions are known here; for another one, use its own LangChain package. Starts the local
    model where that is asked for, which takes seconds the first time.

    Raises `ConfigurationError`: an unknown provider, a missing package or key.
    """
    config = resolve(AgentConfig(model_name=model))
    check_config(config)
    try:
        from langchain_openai import ChatOpenAI
    except ImportError as error:
        raise MissingConfigurationError(
            f"This workflow needs LangChain's OpenAI package: {to_install('langchain')}."
        ) from error
    settings = get_settings()
    given: dict[str, Any] = {
        "stream_usage": True,
        "timeout": _timeout(settings),
        "stream_chunk_timeout": None,
        # A client had better hear of a full upstream at once, and when to come back.
        "max_retries": 0,
        **_where(config),
        **options,
    }
    if "http_async_client" not in given and (client := _own_client(given["timeout"])) is not None:
        given["http_async_client"] = client
    return ChatOpenAI(**given)


def _where(config: AgentConfig) -> dict[str, Any]:
    provider = config.model_provider
    if provider is ModelProvider.LOCAL:
        return _local()
    if provider is ModelProvider.OPENAI:
        # OPENAI_API_KEY and OPENAI_BASE_URL are read by the SDK; a server of one's own may want no
        # key, which the SDK does not know.
        key = environ.get("OPENAI_API_KEY") or "not-needed"
        return {"model": config.model_name, "api_key": key}
    if provider is not None and provider in _BASE_URLS:
        variable, default = _BASE_URLS[provider]
        base_url = (environ.get(variable) if variable else None) or default
        key = environ.get(_KEYS[provider]) or "not-needed"
        return {"model": config.model_name, "base_url": base_url, "api_key": key}
    raise ConfigurationError(
        f"chat_model() knows providers of OpenAI's chat completions (local, openai, ollama, "
        f"openrouter), not {provider}. Build the model with its own LangChain package."
    )


def _local() -> dict[str, Any]:
    from launchpad.models import local

    settings = get_settings()

    async def key() -> str:
        # Asked for before each request: this starts a model that has crashed anew.
        return (await asyncio.to_thread(local.endpoint, settings)).api_key

    found = local.endpoint(settings)
    return {
        "model": found.model_name,
        "base_url": found.base_url,
        "api_key": key,
        # Always set: llama.cpp would generate until its context is full.
        "max_tokens": settings.local_max_tokens,
    }


def _timeout(settings: Settings) -> Any:
    """The client's own limit of silence, for models outside of a `LangChainStreamingNode`.

    In one, the node times each model's tokens, and comes first.
    """
    import openai

    patience = patience_of(settings)
    return openai.Timeout(patience.whole_answer, connect=patience.connect)


def _own_client(timeout: Any) -> Any:
    """An HTTP client of this event loop's own, or None outside of any.

    LangChain keeps one for the process, which breaks when a second event loop uses it
    (https://github.com/langchain-ai/langchain/issues/35783).
    """
    try:
        scope = _scope.get() or loop_scope()
    except RuntimeError:
        return None
    import openai

    client = openai.DefaultAsyncHttpxClient(timeout=timeout)
    scope.at_close(client.aclose)
    return client
