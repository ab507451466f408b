"""An agent with tools, streamed to its end.

`agent.run_stream` ends at the first text: what a model says before it calls a tool counts as its
answer, and the tool's result never reaches it. This runs the whole loop instead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import ContentFilterError
from pydantic_ai.messages import (
    FinalResultEvent,
    ModelMessagesTypeAdapter,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
)
from pydantic_ai.run import AgentRunResultEvent

from launchpad.events import Delta, FinishReason, RefusalDelta
from launchpad.models.live.events import deltas_of
from launchpad.models.live.stream import Names, Speech

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.run import AgentRunResult

__all__ = ["AgentEvents", "stream_agent_events"]


def stream_agent_events(
    agent: Agent[Any, Any],
    prompt: Any,
    *,
    node: str,
    structured: bool = False,
    **run: Any,
) -> AgentEvents:
    """Run `agent` with its tools; iterate the result for what its model says, as `node`'s events.

    `run` goes to `agent.run_stream_events` (message_history, deps, …). Text said between tool
    calls is streamed too; the calls stay hidden. A refusal ends the run without a result. Errors
    are pydantic-ai's.
    """
    return AgentEvents(agent, prompt, node=node, structured=structured, run=run)


class AgentEvents:
    """The events of one run, once. `result` is there when they have ended, unless `refused`."""

    refused: bool = False
    """The model refused, or its provider's filter held the answer back: there is no result."""

    def __init__(
        self,
        agent: Agent[Any, Any],
        prompt: Any,
        *,
        node: str,
        structured: bool,
        run: dict[str, Any],
    ) -> None:
        self._agent = agent
        self._prompt = prompt
        self._say = Speech(node, structured=structured, names=Names())
        self._run = run
        self._result: AgentRunResult[Any] | None = None
        self._last_reason: FinishReason | None = None

    @property
    def result(self) -> AgentRunResult[Any]:
        """pydantic-ai's result: output, messages, usage. Raises `RuntimeError` before the end."""
        if self._result is None:
            raise RuntimeError("The agent's run has not ended.")
        return self._result

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the last answer ended."""
        if self.refused:
            return self._last_reason
        messages = self.result.all_messages()
        answers = [one for one in messages if isinstance(one, ModelResponse)]
        return self._say.reason(answers[-1].finish_reason) if answers else None

    async def __aiter__(self) -> AsyncIterator[Delta]:
        try:
            async for delta in self._deltas():
                yield delta
        except ContentFilterError as error:
            # How pydantic-ai ends a run whose model refused; the answer is in the error's body.
            self.refused = True
            words = _refusal_in(error)
            # On OpenAI's wire a refusal in words is an answer that ended by itself.
            self._last_reason = "stop" if words else "content_filter"
            if words:
                yield RefusalDelta(self._say.node, words)

    async def _deltas(self) -> AsyncIterator[Delta]:
        say = self._say
        events = self._agent.run_stream_events(self._prompt, **self._run)
        async with events as stream:
            answers = 0
            async for event in stream:
                if isinstance(event, PartStartEvent) and event.index == 0:
                    # Part numbers begin anew with each answer of the model.
                    answers += 1
                if isinstance(event, FinalResultEvent) and event.tool_name is not None:
                    for delta in say.reveal(event.tool_name):
                        yield delta
                elif isinstance(event, PartStartEvent | PartDeltaEvent):
                    for delta in deltas_of(event, say, answer=answers):
                        yield delta
                elif isinstance(event, AgentRunResultEvent):
                    self._result = event.result


def _refusal_in(error: ContentFilterError) -> str | None:
    """The model's own words of refusal, where its provider gave any."""
    for answer in ModelMessagesTypeAdapter.validate_json(error.body) if error.body else []:
        details = answer.provider_details if isinstance(answer, ModelResponse) else None
        if (words := (details or {}).get("refusal")) and isinstance(words, str):
            return words
    return None
