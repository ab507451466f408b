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
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse

from launchpad.models.chat_live import ChatLive
from launchpad.models.counting import CountingModel
from launchpad.models.event_live import EventLive, usage_of
from launchpad.models.live import LiveStream, Names, finish_reason_of
from launchpad.models.openai_compatible.client import Opened
from launchpad.models.openai_compatible.special_tokens import broke_tokens
from launchpad.models.opening import Opening
from launchpad.models.responses import AgentView, TeeResponse
from launchpad.models.scope import (
    RequestScope,
    count_usage,
    merged_settings,
    request_scope,
)

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage

    from launchpad.models.openai_compatible.stream import ChatStream

__all__ = ["LiveStream", "RequestScope", "StreamingModel", "live_stream", "request_scope"]

_TEXT = Names()
_CHAT = Names(others_are_clients=True)
_live: WeakValueDictionary[str, LiveStream] = WeakValueDictionary()


def live_stream(run_id: str) -> LiveStream | None:
    """The open answer of the agent run `run_id` (`result.run_id`), or None.

    A run that asks its model several times has one at a time: the latest.
    """
    return _live.get(run_id)


class StreamingModel(CountingModel):
    """Wraps any pydantic-ai model; see the module.

    With `allow_client_form`, the request's `client_tools` and `response_format` reach the model,
    and its calls of the client's tools come out as `ToolCallDelta`; the agent's own output is
    then the text beside them.
    """

    def __init__(self, wrapped: Model, *, allow_client_form: bool = False) -> None:
        super().__init__(wrapped)
        self.allow_client_form = allow_client_form

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
        asked = Opening(self.wrapped, settings, model_request_parameters, scope if form else None)
        client = asked.client_tools
        with asked:
            async with self.wrapped.request_stream(
                messages, settings, asked.parameters, run_context
            ) as response:
                live, behind = live_of(asked.begun(), response, client)
                run_id = run_context.run_id if run_context is not None else None
                if run_id is not None:
                    _live[run_id] = live
                view = AgentView(behind, client)
                try:
                    yield view
                finally:
                    if run_id is not None and _live.get(run_id) is live:
                        del _live[run_id]
                if not live.counted:
                    # The node reads the answer by pydantic-ai's own means.
                    count_usage(usage_of(view.usage), finish_reason_of(view.get().finish_reason))


def live_of_text(stream: ChatStream) -> LiveStream:
    """The live reader of a chat model's answer that nobody else reads."""
    return ChatLive(stream, _CHAT)


def live_of(
    opened: Opened,
    response: StreamedResponse,
    client: frozenset[str],
    *,
    others_are_clients: bool = False,
) -> tuple[LiveStream, StreamedResponse]:
    """The live reader of an answer that was just opened, and the response to go on with.

    Calls of `client` tools are shown; with `others_are_clients`, all are.
    """
    names = _names(response.model_request_parameters, client)
    if others_are_clients:
        names = replace(names, others_are_clients=True)
    stream = opened.stream
    # Where pydantic-ai has changed the prompt, it has to change the answer back: it is read there.
    if stream is not None and not stream.closed and not broke_tokens(opened.body):
        return ChatLive(stream, names), response
    tee = TeeResponse(response)
    return EventLive(tee, names), tee


def _names(parameters: ModelRequestParameters, client: frozenset[str]) -> Names:
    if not parameters.output_tools and not client and parameters.allow_text_output:
        return _TEXT
    return Names(
        output=frozenset(tool.name for tool in parameters.output_tools),
        client=client,
        text=parameters.allow_text_output,
    )
