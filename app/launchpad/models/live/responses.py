"""Streamed responses of pydantic-ai, wrapped: one to be read live, one for the agent to see.

It touches private names of pydantic-ai: `_event_iterator`, where
`StreamedResponse.__aiter__` and the agent's priming keep the one iterator of a response, and
`_get_event_iterator`, the abstract method that a subclass has to define.
`tests/models/test_pydantic_ai_private.py` says so when a new version changes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from pydantic_ai.messages import (
    FinalResultEvent,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage


class OwnEvents(StreamedResponse):
    """A response whose `_events` are all that there are: the base adds the end of parts itself."""

    def __aiter__(self) -> AsyncIterator[ModelResponseStreamEvent]:
        if self._event_iterator is None:
            # Not the base's: it would add the final-result and part-end events a second time.
            self._event_iterator = self._events()
        return self._event_iterator

    @abstractmethod
    def _events(self) -> AsyncIterator[ModelResponseStreamEvent]: ...

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        async for event in self._events():
            yield event


class WrappedResponse(OwnEvents):
    """A response that answers everything from the one it wraps. Override `_events`."""

    def __init__(self, inner: StreamedResponse) -> None:
        super().__init__(inner.model_request_parameters)
        self.inner = inner

    def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        return aiter(self.inner)

    def get(self) -> ModelResponse:
        """The response so far."""
        return self.inner.get()

    async def cancel(self) -> None:
        """Stop the provider's stream."""
        await self.inner.cancel()

    async def close_stream(self) -> None:
        """Close the provider's stream."""
        await self.inner.close_stream()

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """What closing may raise inside the stream."""
        return self.inner.get_stream_cancel_errors()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.inner.cancelled

    @property
    def usage(self) -> RequestUsage:
        """Token counts so far."""
        return self.inner.usage

    @property
    def model_name(self) -> str:
        """The model that answers."""
        return self.inner.model_name

    @property
    def provider_name(self) -> str | None:
        """The provider's name."""
        return self.inner.provider_name

    @property
    def provider_url(self) -> str | None:
        """The provider's address."""
        return self.inner.provider_url

    @property
    def timestamp(self) -> datetime:
        """When the answer began."""
        return self.inner.timestamp


class AgentView(WrappedResponse):
    """What an agent sees of an answer, so that its run ends with that answer.

    Calls of the client's tools (`hidden`) are kept from it, since it could not run them. Where no
    text is left (such a call, a refusal, a model that had nothing to say) it sees an empty one;
    pydantic-ai would ask the model again.

    An agent whose answer can only be text is told so at once: `run_stream` gives its result at the
    answer's begin then, and reasoning, or a refusal, can be read while it is made.
    """

    def __init__(self, inner: StreamedResponse, hidden: frozenset[str]) -> None:
        super().__init__(inner)
        self._hidden = hidden
        self._hidden_parts: set[int] = set()
        self._filled = False

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        asked = self.model_request_parameters
        answered = not asked.allow_text_output
        own = [tool for tool in asked.function_tools if tool.name not in self._hidden]
        announced = not (answered or own or asked.output_tools)
        if announced:
            yield FinalResultEvent(tool_name=None, tool_call_id=None)
        parts = 0
        async for event in self.inner:
            if isinstance(event, PartStartEvent):
                parts += 1
                if self._hides(event.part):
                    self._hidden_parts.add(event.index)
                    yield replace(event, part=TextPart(""))
                    continue
                answered = answered or isinstance(event.part, ToolCallPart)
            elif isinstance(event, FinalResultEvent):
                answered = True
                if announced:
                    continue
            elif event.index in self._hidden_parts:
                if isinstance(event, PartEndEvent):
                    yield replace(event, part=TextPart(""))
                continue
            yield event
        if not answered:
            self._filled = True
            yield PartStartEvent(index=parts, part=TextPart(""))
            if not announced:
                yield FinalResultEvent(tool_name=None, tool_call_id=None)
            yield PartEndEvent(index=parts, part=TextPart(""))

    def get(self) -> ModelResponse:
        """The response so far, as the agent is to see it."""
        response = self.inner.get()
        if not self._hidden and not self._filled:
            return response
        parts = [part for part in response.parts if not self._hides(part)]
        hides = len(parts) < len(response.parts)
        if self._filled or (hides and not any(isinstance(one, TextPart) for one in parts)):
            parts.append(TextPart(""))
        return replace(response, parts=parts)

    def _hides(self, part: object) -> bool:
        return isinstance(part, ToolCallPart) and part.tool_name in self._hidden


class TeeResponse(WrappedResponse):
    """Any provider's response, read by its `EventLive` and by the agent, each at its own pace."""

    def __init__(self, inner: StreamedResponse) -> None:
        super().__init__(inner)
        self._source = aiter(inner)
        self._for_agent: deque[ModelResponseStreamEvent] = deque()
        self.for_live: list[ModelResponseStreamEvent] = []
        self.ended = False

    async def advance(self) -> None:
        """Take one event from the provider."""
        try:
            event = await anext(self._source)
        except StopAsyncIteration:
            self.ended = True
            return
        self._for_agent.append(event)
        self.for_live.append(event)

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        waiting = self._for_agent
        while True:
            while waiting:
                yield _joined(waiting)
            if self.ended:
                return
            await self.advance()


def _joined(waiting: deque[ModelResponseStreamEvent]) -> ModelResponseStreamEvent:
    """The next event, with the text deltas of the same part that follow it merged in."""
    first = waiting.popleft()
    text = _plain_text(first)
    if text is None or not isinstance(first, PartDeltaEvent):
        return first
    texts = [text]
    while waiting:
        following = waiting[0]
        text = _plain_text(following)
        if (
            text is None
            or not isinstance(following, PartDeltaEvent)
            or following.index != first.index
        ):
            break
        texts.append(text)
        waiting.popleft()
    return PartDeltaEvent(index=first.index, delta=TextPartDelta(content_delta="".join(texts)))


def _plain_text(event: ModelResponseStreamEvent) -> str | None:
    """The text of an event that only adds text."""
    if not isinstance(event, PartDeltaEvent) or not isinstance(event.delta, TextPartDelta):
        return None
    delta = event.delta
    if delta.provider_details or delta.citations_delta or delta.provider_name is not None:
        return None
    return delta.content_delta
