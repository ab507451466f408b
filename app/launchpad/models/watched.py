"""`WatchedModel`: a model that its provider's SDK reads, held to what our own reader holds to.

An upstream that is silent for too long, breaks off, or sends what cannot be read is an
`UpstreamError`, as it is where we read ourselves (`openai_compatible.stream`). One that is silent
once it has said why its answer ends has ended it.

How an answer was cut is told by its finish reason: every provider in `foreign` reports one with
each answer. Models that by nature give none (pydantic-ai's `TestModel` and `FunctionModel`, a
model of one's own under `model_override`) are never wrapped in this.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    FinalResultEvent,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.errors import UpstreamError
from launchpad.models.live.responses import WrappedResponse
from launchpad.models.openai_compatible.watchdog import Patience, patience_for
from launchpad.models.silence import CompleteError, Silence
from launchpad.models.upstream_errors import as_upstream_error, cut, unreadable

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage

__all__ = ["WatchedModel"]


class WatchedModel(WrapperModel):
    """Wraps a provider's model; see the module.

    `patience` holds where a request's `ModelSettings.timeout` does not say otherwise.
    """

    def __init__(self, wrapped: Model, patience: Patience) -> None:
        super().__init__(wrapped)
        self._patience = patience

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """As the wrapped model's; a whole answer may take as long as a first token and a stall."""
        silence = self._silence(model_settings)
        silence.asked(whole=True)
        try:
            return await silence.within(
                self.wrapped.request(messages, model_settings, model_request_parameters)
            )
        except (UnexpectedModelBehavior, AssertionError) as error:
            if as_upstream_error(error) is not None:
                raise
            raise unreadable() from error

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As the wrapped model's, whose opening counts as silence."""
        opened: list[StreamedResponse] = []
        silence = self._silence(
            model_settings, lambda: bool(opened) and _is_complete(opened[0].get())
        )
        silence.asked()
        async with AsyncExitStack() as stack:
            opening = self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            )
            try:
                response = await silence.within(stack.enter_async_context(opening))
            except UnexpectedModelBehavior as error:
                if as_upstream_error(error) is not None:
                    raise
                # What pydantic-ai says of a stream without an event.
                raise cut() from error
            except AssertionError as error:
                # A stream that does not begin as its protocol has it.
                raise unreadable() from error
            opened.append(response)
            yield _WatchedResponse(response, silence)

    def _silence(
        self, settings: ModelSettings | None, is_finished: Callable[[], bool] | None = None
    ) -> Silence:
        patience = patience_for((settings or {}).get("timeout"), self._patience)
        return Silence(patience, is_finished=is_finished)


class _WatchedResponse(WrappedResponse):
    def __init__(self, inner: StreamedResponse, silence: Silence) -> None:
        super().__init__(inner)
        self._silence = silence
        self._ended_in_silence = False

    def get(self) -> ModelResponse:
        """The response so far; complete where it was, though its stream did not end."""
        response = self.inner.get()
        if self._ended_in_silence and response.state == "incomplete":
            return replace(response, state="complete")
        return response

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        source = aiter(self.inner)
        open_part: int | None = None
        while True:
            try:
                event = await self._silence.within(anext(source, None))
            except UpstreamError:
                raise
            except CompleteError:
                self._ended_in_silence = True
                if open_part is not None:
                    # The inner response would have said it at its end.
                    part = self.inner.get().parts[open_part]
                    yield PartEndEvent(index=open_part, part=part)
                return
            except Exception as error:
                # Only the SDK and its mapping to events run in here.
                if as_upstream_error(error) is not None:
                    raise
                raise unreadable() from error
            if event is None:
                break
            if _carries(event):
                self._silence.said()
            if isinstance(event, PartStartEvent):
                open_part = event.index
            elif isinstance(event, PartEndEvent):
                open_part = None
            yield event
        if not self.inner.cancelled and not _is_complete(self.inner.get()):
            raise cut()


def _carries(event: ModelResponseStreamEvent) -> bool:
    """Whether an event moves the answer on: anything but a part's frame or an empty text."""
    match event:
        case FinalResultEvent() | PartEndEvent():
            return False
        case PartStartEvent(part=TextPart() as part):
            return bool(part.content)
        case PartStartEvent(part=ThinkingPart() as part):
            return bool(part.content or part.signature)
        case PartDeltaEvent(delta=TextPartDelta() as delta):
            return bool(delta.content_delta)
        case PartDeltaEvent(delta=ThinkingPartDelta() as delta):
            return bool(delta.content_delta or delta.signature_delta)
        case _:
            return True


def _is_complete(answer: ModelResponse) -> bool:
    """Whether the provider said why the answer ended.

    pydantic-ai keeps its word in `provider_details`, except a refusal's, for which it has its own;
    a "stop" alone may be pydantic-ai's guess.
    """
    if answer.state == "suspended" or (answer.provider_details or {}).get("finish_reason"):
        return True
    return answer.finish_reason not in {None, "stop"}
