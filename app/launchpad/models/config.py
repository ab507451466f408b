"""What an agent node says about its model: `AgentConfig` and `ModelProvider`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any


class ModelProvider(StrEnum):
    """Where a model is served. The value is the name used in `--model PROVIDER:NAME`."""

    OPENAI = "openai"
    """Chat completions; `OPENAI_BASE_URL` is honoured."""
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_COMPATIBLE = "openai-compatible"
    """Any server of `/v1/chat/completions`; needs `base_url`."""
    AZURE_OPENAI = "azure"
    ANTHROPIC = "anthropic"
    MISTRAL = "mistral"
    GOOGLE_GEMINI = "google-gemini"
    GOOGLE_VERTEX_AI = "google-vertex"
    BEDROCK = "bedrock"
    OLLAMA = "ollama"
    GROQ = "groq"
    OPENROUTER = "openrouter"
    LOCAL = "local"
    """The model that runs inside this machine; needs no key."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and when, a model that failed before its first content is asked again.

    `attempts` counts the first one too. The wait is the upstream's own `Retry-After`, or else
    `backoff` seconds, doubled each time up to `max_backoff`, shortened at random by up to a
    quarter. A `Retry-After` above `max_retry_after` is not waited for. Asked again are models
    that could not be reached, were silent, broke off, or answered with 429 or 5xx.
    """

    attempts: int = 3
    backoff: float = 0.5
    max_backoff: float = 8.0
    max_retry_after: float = 20.0


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent node's pydantic-ai `Agent` is built.

    `model_provider` and `model_name` left out mean the configured default model
    (`LAUNCHPAD_MODEL`). `output_type` is anything that pydantic-ai takes as output type;
    `system_prompt` and `instructions` are both sent with every request, in this order; `tools` run
    on the server and stay hidden from the client. `base_url` and `api_key` win over the provider's
    environment variables. `model_settings` are defaults: a request's own sampling parameters win.

    `retry` and `fallbacks` act before the first content only; what a client has seen is never
    begun again. A fallback is a model's name (at the same provider, or `PROVIDER:NAME`) or a
    config, of which what names the model and its `retry` are read.
    """

    model_provider: ModelProvider | None = None
    model_name: str | None = None
    output_type: Any = str
    instructions: str | None = None
    system_prompt: str | Sequence[str] = ()
    tools: Sequence[Any] = ()
    deps_type: type[Any] = NoneType
    model_settings: Mapping[str, Any] | None = None
    retries: int = 1
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    name: str | None = None
    retry: RetryPolicy | None = None
    fallbacks: Sequence[AgentConfig | str] = ()


def is_model_type(wanted: Any) -> bool:
    """Whether an output type is a class with fields: a pydantic model, dataclass or TypedDict."""
    return isinstance(wanted, type) and (
        hasattr(wanted, "model_json_schema")
        or hasattr(wanted, "__dataclass_fields__")
        or hasattr(wanted, "__required_keys__")
    )


def instructions_of(config: AgentConfig) -> list[str]:
    """Both kinds as instructions, which reach the model in every request.

    pydantic-ai drops an agent's `system_prompt` where a message history is given, as the client's
    is here.
    """
    prompts = config.system_prompt
    return [
        *([prompts] if isinstance(prompts, str) else prompts),
        *([config.instructions] if config.instructions is not None else []),
    ]
