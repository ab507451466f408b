"""Google's models, whose answers are closed when they are left, not when they are collected.

Google's SDK reads an answer by generators that hold each other in a circle. One that is left
between two words (a slow client's, that of a node that has heard enough) keeps its connection
until the garbage collector comes by, and Google goes on writing, and counting, what nobody reads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic_ai.models import create_async_httpx2_client
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.models.loops import loop_scope

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse

    from launchpad.models.config import AgentConfig
    from launchpad.settings import Settings

__all__ = ["build"]

_LONG = 20 * 60.0
"""Seconds that pydantic-ai gives a request, and Google recommends; ours end it before."""

_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("_opened", default=None)
"""The HTTP responses of the request that is being sent."""


def build(config: AgentConfig, settings: Settings, *, vertex: bool) -> Model:
    """The model that `config` names, of the Gemini API, or of `vertex`. Raises `ImportError`."""
    given: dict[str, Any] = {"api_key": config.api_key, "base_url": config.base_url}
    given = {name: value for name, value in given.items() if value is not None}
    client = create_async_httpx2_client(
        timeout=httpx2.Timeout(_LONG, connect=settings.connect_timeout)
    )
    client.event_hooks = {**client.event_hooks, "response": [_note]}
    if vertex:
        from pydantic_ai.providers.google_cloud import GoogleCloudProvider

        cloud = GoogleCloudProvider(http_client=client, **given)
        return _ClosesAnswers(GoogleModel(config.model_name or "", provider=cloud), client)
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(http_client=client, **given)
    return _ClosesAnswers(GoogleModel(config.model_name or "", provider=provider), client)


async def _note(response: httpx2.Response) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(response)


class _ClosesAnswers(WrapperModel):
    """A model whose streamed answers have no connection once they are left.

    `client`, which sends its requests, is closed once nobody uses the model any more.
    """

    def __init__(self, wrapped: Model, client: httpx2.AsyncClient) -> None:
        super().__init__(wrapped)
        with suppress(RuntimeError):  # outside a loop nothing is sent
            loop_scope().at_end_of(self, client.aclose)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As the wrapped model's."""
        opened: list[httpx2.Response] = []
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_close_all, opened)
            token = _opened.set(opened)
            try:
                response = await stack.enter_async_context(
                    self.wrapped.request_stream(
                        messages, model_settings, model_request_parameters, run_context
                    )
                )
            finally:
                _opened.reset(token)
            yield response


async def _close_all(responses: list[httpx2.Response]) -> None:
    for response in responses:
        await response.aclose()
