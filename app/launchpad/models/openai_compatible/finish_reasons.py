"""Why an answer ended, where a server says it in words that are not OpenAI's. Sync, pure."""

from __future__ import annotations

from typing import Final

__all__ = ["BREAKS_OFF", "OPENAIS", "in_openais_words"]

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

_MEANING: Final = {
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    # KoboldCpp's and DashScope's word for none.
    "null": None,
}


def in_openais_words(reason: str) -> str | None:
    """`reason` in lower case if it is among these; what is unknown stays; None: it is no end."""
    low = reason.lower()
    if low in OPENAIS or low in BREAKS_OFF:
        return low
    return _MEANING.get(low, reason)
