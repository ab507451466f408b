"""A plain answer to a plain request, as an agent sees it, without pydantic-ai's layers around it.

Opening and reading an answer through pydantic-ai's own model costs some 0.3 ms of what an answer
of one token costs. Where the request was sent as learnt, its answer is nearly always text, an end
and token counts, and what pydantic-ai makes of those is made here. At the first item that is
anything else, the answer goes back to pydantic-ai from its begin, and what the agent has not seen
of it follows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai.messages import (
    FinalResultEvent,
    FinishReason,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.usage import RequestUsage

from launchpad.models.live.responses import AgentView, OwnEvents
from launchpad.models.openai_compatible.plain_answer import PlainAnswer

if TYPE_CHECKING:
    from pydantic_ai.models import ModelRequestParameters, StreamedResponse

    from launchpad.models.live.stream import LiveStream
    from launchpad.models.openai_compatible.learnt import LearntRequests, Origin
    from launchpad.models.openai_compatible.stream import ChatStream

__all__ = ["PlainResponse"]

_NOBODY: frozenset[str] = frozenset()


class PlainResponse(OwnEvents):
    """What `AgentView` is over pydantic-ai's own response, for a text-only agent.

    `begin` comes first. `usual` opens pydantic-ai's own response over `stream`, whose items are
    all there again. `live` is the answer's other reader, given where that and who asks for the
    output are the only ones: once it has `sufficed`, no event is made, each of which would pass
    through all of pydantic-ai's layers (some 50 µs) to nobody.
    """

    def __init__(
        self,
        parameters: ModelRequestParameters,
        stream: ChatStream,
        learnt: LearntRequests,
        usual: Callable[[], Awaitable[StreamedResponse]],
        live: LiveStream | None = None,
    ) -> None:
        super().__init__(parameters)
        self._stream = stream
        self._live = live
        self._learnt = learnt
        self._origin = cast("Origin", learnt.origin)
        self._open_usual = usual
        self._usual: AgentView | None = None
        self._answer = PlainAnswer(mends_tokens=learnt.breaks_tokens)
        self._timestamp = datetime.now(tz=UTC)
        self._told: list[str] = []
        self._counted: RequestUsage | None = None
        self._nothing = RequestUsage()
        self._begun = False
        self._ended = False
        self._stopped = False

    async def begin(self) -> bool:
        """Wait for the answer's first items; False where they are for pydantic-ai to read."""
        plain = await self._more()
        if not plain:
            self._stream.put_back(self._answer.kept)
        return plain

    async def is_complete(self) -> bool:
        """Take what is left; whether all of it is known then, has words, and nobody is told of it.

        Where it is not, the agent's run reads the answer as ever.
        """
        if not self._is_unheard():
            return False
        self._begun = going = True
        while going:
            going = await self._more()
        if not self._is_whole() or not "".join(self._answer.fresh).strip():
            return False
        self._told += self._answer.fresh
        self._answer.fresh = []
        self._ended = True
        return True

    async def _more(self) -> bool:
        """Take what comes next, all that is there; False at the end, and where it is not plain."""
        items = await self._stream.follow()
        answer = self._answer
        rest = answer.take(items)
        if rest:
            self._stream.put_back(rest)
        return bool(items) and not rest

    def _counts(self) -> RequestUsage | None:
        """The token counts, where they have come and can be read. Read once they are asked for."""
        answer = self._answer
        if self._counted is None and answer.usage is not None:
            self._counted = self._learnt.usages.of(answer.model, answer.usage)
        return self._counted

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        yield FinalResultEvent(tool_name=None, tool_call_id=None)
        self._begun = going = True
        while going:
            if self._answer.fresh and not self._is_unheard():
                yield self._tell()
            going = await self._more()
        if not self._is_whole():
            async for event in self._usual_events():
                yield event
            return
        if self._is_unheard():
            self._told += self._answer.fresh
            self._ended = True
        elif self._told:
            yield PartEndEvent(index=0, part=self._part())
            self._ended = True
        else:
            # pydantic-ai would ask the model again.
            self._ended = True
            yield PartStartEvent(index=0, part=TextPart(""))
            yield PartEndEvent(index=0, part=TextPart(""))

    def _is_unheard(self) -> bool:
        return self._live is not None and self._live.sufficed

    def _tell(self) -> ModelResponseStreamEvent:
        text = "".join(self._answer.fresh)
        self._answer.fresh = []
        first = not self._told
        self._told.append(text)
        if first:
            return PartStartEvent(index=0, part=TextPart(text))
        return PartDeltaEvent(index=0, delta=TextPartDelta(content_delta=text))

    def _part(self) -> TextPart:
        return TextPart("".join(self._told))

    def _is_whole(self) -> bool:
        """Whether the answer is over and was plain to its end, with counts that can be read."""
        answer = self._answer
        over = self._stream.exhausted and not self._stopped and answer.finish_reason is not None
        return over and (answer.usage is None or self._counts() is not None)

    async def _usual_events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        """What pydantic-ai makes of the answer, without what was told of it already."""
        answer = self._answer
        plain = self._stream.exhausted and not self._stopped
        self._stream.put_back(answer.kept)
        answer.kept = []
        usual = AgentView(await self._open_usual(), _NOBODY)
        if self._stopped:
            await usual.cancel()
        self._usual = usual
        skip = sum(map(len, self._told))
        async for event in usual:
            if isinstance(event, FinalResultEvent):
                continue
            text = _text_of(event) if self._told else None
            if text is None:
                yield event
                continue
            rest, skip = text[skip:], max(0, skip - len(text))
            if rest:
                yield _delta(event, rest)
        if plain and answer.finish_reason is not None and answer.usage is not None:
            self._learnt.usages.learn(answer.model, answer.usage, usual.usage)

    def get(self) -> ModelResponse:
        """The response so far."""
        if self._usual is not None:
            return self._usual.get()
        answer, origin = self._answer, self._origin
        state: Any = "interrupted" if self._stopped else "incomplete"
        return ModelResponse(
            parts=[self._part()] if self._told or self._ended else [],
            model_name=answer.model,
            timestamp=self._timestamp,
            usage=self.usage,
            provider_name=origin.provider_name,
            provider_url=origin.provider_url,
            canonical_system=origin.canonical_system,
            provider_response_id=answer.response_id if self._begun else None,
            provider_details=self._details(),
            finish_reason=cast("FinishReason | None", answer.finish_reason)
            if self._begun
            else None,
            state="complete" if self._ended else state,
        )

    def _details(self) -> dict[str, Any] | None:
        if not self._begun:
            return None
        answer = self._answer
        details: dict[str, Any] = {"timestamp": answer.created}
        if answer.service_tier is not None:
            details["service_tier"] = answer.service_tier
        if answer.finish_reason is not None:
            details["finish_reason"] = answer.finish_reason
        return details

    async def cancel(self) -> None:
        """Stop the provider's stream."""
        if self._usual is not None:
            await self._usual.cancel()
            return
        self._stopped = True
        if not self._ended:
            await self.close_stream()

    async def close_stream(self) -> None:
        """Close the provider's stream."""
        self._stream.close_now()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._usual.cancelled if self._usual is not None else self._stopped

    @property
    def usage(self) -> RequestUsage:
        """Token counts so far."""
        if self._usual is not None:
            return self._usual.usage
        if self._ended and self._answer.usage is None:
            return RequestUsage(unmeasured_requests=1)
        return (self._counts() or self._nothing) if self._begun else self._nothing

    @property
    def model_name(self) -> str:
        """The model that answers."""
        return self._usual.model_name if self._usual is not None else self._answer.model

    @property
    def provider_name(self) -> str | None:
        """The provider's name."""
        return self._origin.provider_name

    @property
    def provider_url(self) -> str | None:
        """The provider's address."""
        return self._origin.provider_url

    @property
    def timestamp(self) -> datetime:
        """When the answer began."""
        return self._usual.timestamp if self._usual is not None else self._timestamp


def _text_of(event: ModelResponseStreamEvent) -> str | None:
    """The text that an event adds to the first part; None where it does something else."""
    if isinstance(event, PartStartEvent) and event.index == 0 and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and event.index == 0:
        delta = event.delta
        if isinstance(delta, TextPartDelta) and delta.content_delta:
            return delta.content_delta
    return None


def _delta(event: ModelResponseStreamEvent, text: str) -> PartDeltaEvent:
    if isinstance(event, PartDeltaEvent):
        return replace(event, delta=replace(cast("TextPartDelta", event.delta), content_delta=text))
    return PartDeltaEvent(index=0, delta=TextPartDelta(content_delta=text))
