"""`ModelCalls`: what the models in a LangChain chain report of themselves.

Imports LangChain, so it is imported where a chain runs.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from launchpad.events import FinishReason, Usage

__all__ = ["ModelCalls", "reason_of", "usage_of"]

_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}


class ModelCalls(BaseCallbackHandler):
    """Counts the model runs of one chain run, with their tokens.

    A run that failed (one that a fallback replaced, or a retry) counts for nothing.
    """

    run_inline = True

    def __init__(self) -> None:
        self.count = 0
        """Model runs that have begun and not failed."""
        self.finish_reason: FinishReason | None = None
        """Of the run that ended last."""
        self._counted: list[Usage] = []

    @property
    def usage(self) -> Usage | None:
        """The sum over all runs, or None where one of them has no counts."""
        if not self._counted or len(self._counted) < self.count:
            return None
        total = self._counted[0]
        for usage in self._counted[1:]:
            total += usage
        return total

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """A chat model's run begins."""
        self.count += 1

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """A completion model's run begins."""
        self.count += 1

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        """A run failed, or was cut short."""
        self.count -= 1

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """A run is complete."""
        answer = next(iter(chain.from_iterable(response.generations)), None)
        message = answer.message if isinstance(answer, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            return
        self.finish_reason = reason_of(message) or self.finish_reason
        if message.usage_metadata:
            self._counted.append(usage_of(message.usage_metadata))


def reason_of(message: AIMessage) -> FinishReason | None:
    """Why the message ends, as its provider calls it, in OpenAI's terms."""
    said: dict[str, Any] = message.response_metadata
    reason = said.get("finish_reason") or said.get("stop_reason") or said.get("done_reason")
    return _REASONS.get(str(reason).lower(), "stop") if reason else None


def usage_of(counted: UsageMetadata) -> Usage:
    """LangChain's token counts in our terms."""
    read = counted.get("input_token_details") or {}
    written = counted.get("output_token_details") or {}
    return Usage(
        counted["input_tokens"],
        counted["output_tokens"],
        read.get("cache_read") or 0,
        written.get("reasoning") or 0,
    )
