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
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.models.live import ChatLive, LiveStream, Names
from launchpad.models.openai_compatible.client import opened_streams
from launchpad.models.responses import AgentView, EventLive, TeeResponse
from launchpad.models.scope import (
    RequestScope,
    merged_parameters,
    merged_settings,
    request_scope,
)

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse

__all__ = ["LiveStream", "RequestScope", "StreamingModel", "live_stream", "request_scope"]

answer_id: ContextVar[str | None] = ContextVar("launchpad_answer_id", default=None)
"""What stands for the run's id where a model is asked without an agent (`models.direct`)."""

_live: WeakValueDictionary[str, LiveStream] = WeakValueDictionary()


def live_stream(run_id: str) -> LiveStream | None:
    """The open answer of the agent run `run_id` (`result.run_id`), or None.

    A run that asks its model several times has one at a time: the latest.
    """
    return _live.get(run_id)


class StreamingModel(WrapperModel):
    """Wraps any pydantic-ai model; see the module.

    With `allow_client_form`, the request's `client_tools` and `response_format` reach the model,
    and its calls of the client's tools come out as `ToolCallDelta`; the agent's own output is
    then the text beside them.
    """

    def __init__(self, wrapped: Model, *, allow_client_form: bool = False) -> None:
        super().__init__(wrapped)
        self.allow_client_form = allow_client_form

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """A request that is not streamed: only the sampling parameters apply."""
        settings = merged_settings(request_scope.get(), model_settings, client_form=False)
        return await self.wrapped.request(messages, settings, model_request_parameters)

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
        parameters = merged_parameters(scope, model_request_parameters, client_form=form)
        async with AsyncExitStack() as stack:
            with opened_streams() as opened:
                response = await stack.enter_async_context(
                    self.wrapped.request_stream(messages, settings, parameters, run_context)
                )
            client = frozenset(tool.name for tool in scope.client_tools) if scope and form else None
            names = _names(response.model_request_parameters, client or frozenset())
            live: LiveStream
            if opened.stream is not None and not opened.stream.closed:
                live = ChatLive(opened.stream, names)
            else:
                response = TeeResponse(response)
                live = EventLive(response, names)
            response = AgentView(response, client or frozenset())
            run_id = run_context.run_id if run_context is not None else answer_id.get()
            if run_id is not None:
                _live[run_id] = live
            try:
                yield response
            finally:
                if run_id is not None and _live.get(run_id) is live:
                    del _live[run_id]


def _names(parameters: ModelRequestParameters, client: frozenset[str]) -> Names:
    return Names(
        output=frozenset(tool.name for tool in parameters.output_tools),
        client=client,
        text=parameters.allow_text_output,
    )
