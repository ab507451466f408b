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
class AgentConfig:
    """How an agent node's pydantic-ai `Agent` is built.

    `model_provider` and `model_name` left out mean the configured default model
    (`LAUNCHPAD_MODEL`). `output_type` is anything that pydantic-ai takes as output type;
    `system_prompt` and `instructions` are both sent with every request, in this order; `tools` run
    on the server and stay hidden from the client. `base_url` and `api_key` win over the provider's
    environment variables. `model_settings` are defaults: a request's own sampling parameters win.
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
