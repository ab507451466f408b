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

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import ref

from pydantic_ai.capabilities import AbstractCapability, CombinedCapability
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse

from launchpad.models.agent_request import AgentRequest
from launchpad.models.counting import CountingModel
from launchpad.models.event_live import usage_of
from launchpad.models.live import LiveStream, finish_reason_of
from launchpad.models.scope import (
    RequestScope,
    count_usage,
    merged_settings,
    request_scope,
)

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage

__all__ = ["LiveStream", "RequestScope", "StreamingModel", "live_stream", "request_scope"]

_live: dict[str, ref[LiveStream]] = {}


def live_stream(run_id: str) -> LiveStream | None:
    """The open answer of the agent run `run_id` (`result.run_id`), or None.

    A run that asks its model several times has one at a time: the latest.
    """
    known = _live.get(run_id)
    return known() if known is not None else None


class StreamingModel(CountingModel):
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

    def settings_of_request(self, model_settings: ModelSettings | None) -> ModelSettings | None:
        """Where an answer is not streamed, only the sampling parameters apply."""
        return merged_settings(request_scope.get(), model_settings, client_form=False)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Open the answer and register it under the run's id until this context ends."""
        scope = request_scope.get()
        form = self.allow_client_form
        settings = merged_settings(scope, model_settings, client_form=form)
        asked = AgentRequest(
            self.wrapped,
            messages,
            settings,
            model_request_parameters,
            run_context,
            scope if form else None,
            listened=self._is_listened_to(run_context),
        )
        run_id = run_context.run_id if run_context is not None else None
        async with AsyncExitStack() as stack:
            live, view = await asked.open(stack)
            entry = ref(live)
            if run_id is not None:
                _live[run_id] = entry
            try:
                yield view
            finally:
                if run_id is not None and _live.get(run_id) is entry:
                    del _live[run_id]
            if not live.counted:
                # The node reads the answer by pydantic-ai's own means.
                count_usage(usage_of(view.usage), finish_reason_of(view.get().finish_reason))

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
