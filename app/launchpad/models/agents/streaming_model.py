"""`StreamingModel`: the model of every streaming agent node.

It merges the request's wishes into each of the agent's requests, and makes the opened answer
readable as typed events under the run's id:

    async with agent.run_stream(prompt) as result:
        live = live_stream(result.run_id)
        async for event in live.events("Node", structured=False): ...
        output = await result.get_output()

A result that is driven by pydantic-ai's own means instead behaves as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from operator import is_
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

from pydantic_ai.capabilities import AbstractCapability, CombinedCapability
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse

from launchpad.models.agents.ahead import awaited_request
from launchpad.models.agents.counting import CountingModel, count_unread
from launchpad.models.agents.prepared import Untouched
from launchpad.models.agents.questions import Question
from launchpad.models.agents.request import AgentRequest
from launchpad.models.live.stream import LiveStream
from launchpad.models.scope import (
    RequestScope,
    merged_settings,
    request_scope,
)

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse

__all__ = [
    "LiveStream",
    "RequestScope",
    "StreamingModel",
    "live_stream",
    "make_known",
    "make_unknown",
    "request_scope",
]

_live: dict[str, ref[LiveStream]] = {}


def live_stream(run_id: str) -> LiveStream | None:
    """The open answer of the agent run `run_id` (`result.run_id`), or None.

    A run that asks its model several times has one at a time: the latest.
    """
    known = _live.get(run_id)
    return known() if known is not None else None


def make_known(run_id: str | None, live: LiveStream) -> ref[LiveStream]:
    """Let `live_stream` find `live`, as long as somebody holds it, until `make_unknown`."""
    entry = ref(live)
    if run_id is not None:
        _live[run_id] = entry
    return entry


def make_unknown(run_id: str | None, entry: ref[LiveStream]) -> None:
    """Take back what `make_known` gave, unless another answer has taken its place."""
    if run_id is not None and _live.get(run_id) is entry:
        del _live[run_id]


class _Answer:
    """An answer that is asked for when it is entered, and known by its run's id until it ends."""

    __slots__ = ("_entry", "_live", "_open", "_run_id", "_stack", "_view")

    def __init__(
        self,
        opened: Callable[[AsyncExitStack], Awaitable[tuple[LiveStream, StreamedResponse]]],
        run_id: str | None,
    ) -> None:
        """`opened`: what opens it, and has a given stack keep it open (`AgentRequest.open`)."""
        self._open = opened
        self._run_id = run_id
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> StreamedResponse:
        try:
            self._live, self._view = await self._open(self._stack)
        except BaseException:
            await self._stack.__aexit__(*sys.exc_info())
            raise
        self._entry = make_known(self._run_id, self._live)
        return self._view

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        make_unknown(self._run_id, self._entry)
        try:
            if error is None:
                count_unread(self._live, self._view)
        except BaseException:
            await self._stack.__aexit__(*sys.exc_info())
            raise
        return bool(await self._stack.__aexit__(kind, error, trace))


class _OpensAnswers:
    """A model's `request_stream` and `request`, in a class that is no model.

    Around those that a model's own class defines pydantic-ai puts two context managers. They are
    for models that ask a provider, and such a one is wrapped here, with its own two.
    """

    allow_client_form: bool
    wrapped: Model
    _is_listened_to: Callable[[RunContext[Any] | None], bool]

    def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> Any:
        """Open the answer and register it under the run's id until this context ends."""
        asked = self.asked(messages, model_settings, model_request_parameters, run_context)
        run_id = run_context.run_id if run_context is not None else None
        expected = awaited_request()
        if expected is None or expected.is_met:
            return _Answer(asked.open, run_id)
        last = messages[-1]
        instructions = last.instructions if isinstance(last, ModelRequest) else None
        question = Question(model_request_parameters, model_settings, instructions)
        return _Answer(partial(expected.open, asked, question), run_id)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """As the wrapped model's; a late run's, which was answered before, gets that answer."""
        expected = awaited_request()
        if expected is None:
            counted = cast("CountingModel", self)
            return await CountingModel.request(
                counted, messages, model_settings, model_request_parameters
            )
        return await expected.whole(
            self.asked(messages, model_settings, model_request_parameters, None)
        )

    def asked(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None,
    ) -> AgentRequest:
        """The request of a run, or of none yet, with the client's wishes."""
        scope = request_scope.get()
        form = self.allow_client_form
        return AgentRequest(
            self.wrapped,
            messages,
            merged_settings(scope, model_settings, client_form=form),
            model_request_parameters,
            run_context,
            scope if form else None,
            listened=run_context is not None and self._is_listened_to(run_context),
        )


class StreamingModel(_OpensAnswers, CountingModel):
    """Wraps any pydantic-ai model; see the module.

    With `allow_client_form`, the request's `client_tools` and `response_format` reach the model,
    and its calls of the client's tools come out as `ToolCallDelta`; the agent's own output is
    then the text beside them.
    """

    def __init__(self, wrapped: Model, *, allow_client_form: bool = False) -> None:
        super().__init__(wrapped)
        self.allow_client_form = allow_client_form
        self._silent: object = None
        """The capability of a run's that was last found to listen to no event."""
        self._untouched = Untouched()

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        """As the wrapped model's, which leaves plain conversations as they are (`prepared`)."""
        kind = self._untouched.kind(self.wrapped, messages)
        if kind is not None and self._untouched.has(kind):
            return messages
        prepared = super().prepare_messages(messages, model_request_parameters)
        if kind is not None:
            self._untouched.learn(kind, messages, prepared)
        return prepared

    def leaves_alone(
        self, messages: list[ModelMessage], parameters: ModelRequestParameters
    ) -> bool:
        """Whether its preparation leaves `messages` as they are. It may have to look."""
        kind = self._untouched.kind(self.wrapped, messages)
        if kind is not None:
            return self._untouched.has(kind)
        prepared = super().prepare_messages(messages, parameters)
        return len(prepared) == len(messages) and all(map(is_, prepared, messages))

    def settings_of_request(self, model_settings: ModelSettings | None) -> ModelSettings | None:
        """Where an answer is not streamed, only the sampling parameters apply."""
        return merged_settings(request_scope.get(), model_settings, client_form=False)

    def _is_listened_to(self, run: RunContext[Any] | None) -> bool:
        """Whether the run's capabilities are told of events beside whoever reads its result."""
        capability = run.root_capability if run is not None else None
        # Looked at once: an agent's own is the same in each of its runs.
        if capability is not None and capability is self._silent:
            return False
        if not _is_silent(capability):
            return True
        self._silent = capability
        return False


def _is_silent(capability: AbstractCapability[Any] | None) -> bool:
    """Whether a run's capability listens to no event, and never will: its classes say so.

    `Hooks` may be told to listen at any time, even while a run goes on.
    """
    return (
        isinstance(capability, CombinedCapability)
        and all(
            type(one).has_on_event is AbstractCapability.has_on_event
            and type(one).has_wrap_run_event_stream is AbstractCapability.has_wrap_run_event_stream
            for one in capability.capabilities
        )
        and not (capability.has_on_event or capability.has_wrap_run_event_stream)
    )
