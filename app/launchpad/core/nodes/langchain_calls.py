"""`ModelCalls`: what the models in a LangChain chain report of themselves.

Whether an answer was cut is told by its finish reason, of providers whose package reports one with
each answer (`_REPORTING`). Of others (LangChain's fake models, one of a user's own) nothing is
known, and an answer without a reason is complete. A chat model that gave no chunk at all was cut,
whoever it is: LangChain itself takes that for an error.

Imports LangChain, so it is imported where a chain runs.
"""

from __future__ import annotations

import asyncio
import json
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, AIMessageChunk, UsageMetadata
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase

from launchpad.errors import UpstreamError
from launchpad.events import FinishReason, Usage
from launchpad.models.finish_reasons import finish_reason_of
from launchpad.models.upstream_errors import cut, unreadable

if TYPE_CHECKING:
    from launchpad.models.silence import Silence

__all__ = ["ModelCalls", "reason_of", "says_it_all", "usage_of"]

_REASON_NAMES = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_REPORTING = frozenset({"openai", "azure", "groq", "deepseek", "xai"})
"""LangChain's names (`ls_provider`) of providers whose packages report each finish reason.

Not Anthropic's: its package leaves it out where it is told to leave out the token counts.
"""


class ModelCalls(BaseCallbackHandler):
    """Counts the model runs of one chain run, with their tokens, and notes how they fail.

    A run that failed (one that a fallback replaced, or a retry) counts for nothing. `silence` is
    told when each begins, says something, and ends; with `says_it_all`, which is for a chain that
    gives its model's words as they come and has nothing to add, also of its finish reason. A run
    that is ended after that is complete.
    """

    run_inline = True

    def __init__(self, silence: Silence, *, says_it_all: bool = False) -> None:
        self.count = 0
        """Model runs that have begun and not failed."""
        self.finish_reason: FinishReason | None = None
        """Of the run that ended last."""
        self._silence = silence
        self._says_it_all = says_it_all
        self._finishing: set[UUID] = set()
        self._cut = False
        self._counted: list[Usage] = []
        self._reporting: set[UUID] = set()
        # By their identity: kept, they would keep their frames.
        self._failures: dict[int, UpstreamError] = {}

    @property
    def usage(self) -> Usage | None:
        """The sum over all runs, or None where one of them has no counts."""
        if not self._counted or len(self._counted) < self.count:
            return None
        total = self._counted[0]
        for usage in self._counted[1:]:
            total += usage
        return total

    def check(self) -> None:
        """Raise `UpstreamError` where a run has ended without its finish reason."""
        if self._cut:
            raise cut()

    def meant_by(self, error: BaseException) -> UpstreamError | None:
        """What `error` means that a model's run, or something made of a cut answer, failed with."""
        if self._cut:
            return cut()
        seen: set[int] = set()
        one: BaseException | None = error
        while one is not None and id(one) not in seen:
            seen.add(id(one))
            if id(one) in self._failures:
                return self._failures[id(one)]
            one = one.__cause__ or one.__context__
        return None

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """A chat model's run begins."""
        metadata: dict[str, Any] = kwargs.get("metadata") or {}
        if metadata.get("ls_provider") in _REPORTING:
            self._reporting.add(kwargs["run_id"])
        self._begin(kwargs["run_id"])

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """A completion model's run begins."""
        self._begin(kwargs["run_id"])

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        """A run says something, or its provider sends an empty piece, which does not count."""
        message = getattr(chunk, "message", None)
        if token or (isinstance(message, AIMessage) and _carries(message)):
            self._silence.said(kwargs["run_id"])
        if self._says_it_all and isinstance(message, AIMessage) and reason_of(message):
            self._finishing.add(kwargs["run_id"])
            self._silence.finishing(kwargs["run_id"])

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """A run failed, or was cut short."""
        response: LLMResult | None = kwargs.get("response")
        if (
            isinstance(error, asyncio.CancelledError)
            and kwargs["run_id"] in self._finishing
            and response is not None
        ):
            self.on_llm_end(response, run_id=kwargs["run_id"])
            return
        self.count -= 1
        self._end(kwargs["run_id"])
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            self._failures[id(error)] = unreadable()
        elif isinstance(error, ValueError) and response is not None and not response.generations:
            # "No generation chunks were returned": only then is the list empty.
            self._failures[id(error)] = cut()

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """A run is complete."""
        reports = self._end(kwargs["run_id"])
        answer = next(iter(chain.from_iterable(response.generations)), None)
        message = answer.message if isinstance(answer, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            return
        reason = reason_of(message)
        if reports and reason is None:
            self._cut = True
        self.finish_reason = reason or self.finish_reason
        if message.usage_metadata:
            self._counted.append(usage_of(message.usage_metadata))

    def _begin(self, run: UUID) -> None:
        self.count += 1
        self._silence.asked(run)

    def _end(self, run: UUID) -> bool:
        """Whether the run's provider reports finish reasons."""
        self._silence.ended(run)
        reports = run in self._reporting
        self._reporting.discard(run)
        self._finishing.discard(run)
        return reports


def _carries(message: AIMessage) -> bool:
    """Whether a piece of an answer has anything in it: a call, reasoning, its end, its counts."""
    calls = isinstance(message, AIMessageChunk) and message.tool_call_chunks
    return bool(
        message.content
        or calls
        or message.additional_kwargs
        or message.usage_metadata
        or reason_of(message)
    )


def says_it_all(runnable: object) -> bool:
    """Whether a chain ends with its model, or with a parser that gives just the model's text.

    Then all is said once the model has said it; any other step may have something of its own to
    say at the end.
    """
    step = cast("Any", runnable)
    while True:
        if isinstance(step, RunnableBindingBase):
            step = cast("Any", step).bound
        elif isinstance(step, RunnableSequence):
            *before, last = cast("list[Any]", cast("Any", step).steps)
            step = before[-1] if isinstance(last, StrOutputParser) and before else last
        else:
            return isinstance(step, BaseLanguageModel)


def reason_of(message: AIMessage) -> FinishReason | None:
    """Why the message ends, as its provider calls it, in OpenAI's terms."""
    said: dict[str, Any] = message.response_metadata
    reason = next((said[name] for name in _REASON_NAMES if said.get(name)), None)
    if reason is None and said.get("status") in {"completed", "incomplete"}:
        # OpenAI's Responses API.
        details: dict[str, Any] = said.get("incomplete_details") or {}
        reason = details.get("reason") or said["status"]
    # None of one that was broken off: it counts as cut where the provider reports each.
    return finish_reason_of(str(reason)) if reason else None


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
