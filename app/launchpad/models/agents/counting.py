"""`CountingModel`: counts the tokens of agents whose answers are not streamed by us."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic_ai.models.wrapper import WrapperModel

from launchpad.models.finish_reasons import finish_reason_of
from launchpad.models.live.events import ended_for, usage_of
from launchpad.models.scope import count_usage

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters, StreamedResponse

    from launchpad.models.live.stream import LiveStream


def count_unread(live: LiveStream, view: StreamedResponse) -> None:
    """Count what an answer took that its node reads by pydantic-ai's own means, if at all."""
    if not live.counted:
        count_usage(usage_of(view.usage), finish_reason_of(ended_for(view.get())))


class CountingModel(WrapperModel):
    """Wraps any pydantic-ai model; each answer's tokens go to the running node's count."""

    def settings_of_request(self, model_settings: ModelSettings | None) -> ModelSettings | None:
        """The settings of a request that is not streamed."""
        return model_settings

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """As the wrapped model's."""
        settings = self.settings_of_request(model_settings)
        response = await self.wrapped.request(messages, settings, model_request_parameters)
        count_usage(usage_of(response.usage), finish_reason_of(ended_for(response)))
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As the wrapped model's; counted when its context ends."""
        async with self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as response:
            yield response
            count_usage(usage_of(response.usage), finish_reason_of(ended_for(response)))
