"""Why an answer ended, in OpenAI's words, whatever its provider calls it. Sync, pure.

One table for all readers: our own, pydantic-ai's models, LangChain's, and chunks that a node
relays. The words are those of the providers' API references, in lower case.
"""

from __future__ import annotations

from typing import Final

from launchpad.events import FinishReason

__all__ = ["BREAKS_OFF", "OPENAIS", "finish_reason_of", "in_openais_words"]

OPENAIS: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

BREAKS_OFF: Final = frozenset(
    {
        "abort",  # vLLM, SGLang
        "error",  # OpenRouter, Mistral, vLLM
        "insufficient_system_resource",  # DeepSeek
        "network_error",  # Zhipu
    }
)
"""The server gave up: the answer is not whole, though it has a reason and `[DONE]`."""

_MEANING: Final[dict[str, FinishReason | None]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "tool_call": "tool_calls",  # pydantic-ai, Cohere
    "tool_use": "tool_calls",  # Anthropic, Bedrock
    "end_turn": "stop",  # Anthropic, Bedrock
    "stop_sequence": "stop",  # Anthropic, Bedrock, Cohere, TGI
    "eos": "stop",  # Together
    "eos_token": "stop",  # TGI
    "complete": "stop",  # Cohere
    "max_tokens": "length",  # Anthropic, Bedrock, Cohere, Google
    "max_output_tokens": "length",  # OpenAI's Responses API
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Anthropic, Bedrock
    "content_filtered": "content_filter",  # Bedrock
    "guardrail_intervened": "content_filter",  # Bedrock
    "refusal": "content_filter",  # Anthropic
    "sensitive": "content_filter",  # Zhipu
    # Google's.
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "model_armor": "content_filter",
    # KoboldCpp's and DashScope's word for none.
    "null": None,
}


def finish_reason_of(raw: str | None) -> FinishReason | None:
    """A provider's finish reason in OpenAI's terms, whatever its case; an unknown one is a stop.

    None where it is no end: none was given, or the answer was broken off (`BREAKS_OFF`).
    """
    if not raw:
        return None
    low = raw.lower()
    return None if low in BREAKS_OFF else _MEANING.get(low, "stop")


def in_openais_words(reason: str) -> str | None:
    """`reason` as a chunk in OpenAI's form has it; what is unknown stays; None: it is no end.

    Those that break an answer off, and `function_call`, stay too, in lower case.
    """
    low = reason.lower()
    if low in OPENAIS or low in BREAKS_OFF:
        return low
    return _MEANING.get(low, reason)
