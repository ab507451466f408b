"""One request to a model, without an agent's loop around it: what a chat model needs.

pydantic-ai's agent costs about 2 ms a run; `pydantic_ai.direct` about a tenth of that. To be
imported when it is first needed: pydantic-ai's import takes longer than a command's `--help`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

from pydantic_ai import ModelSettings
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import InstructionPart, ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.instrumented import InstrumentationSettings

from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig, instructions_of
from launchpad.models.live.chat import ChatLive
from launchpad.models.live.reader import live_for_client, live_of
from launchpad.models.live.stream import LiveStream
from launchpad.models.openai_compatible.learnt import (
    LearntRequests,
    PlainRequest,
    plain_request,
)
from launchpad.models.openai_compatible.stream import ChatStream
from launchpad.models.opening import Opening
from launchpad.models.provider import build_model
from launchpad.models.scope import RequestScope, merged_settings, request_scope
from launchpad.observe.tracing import instrumentation

__all__ = ["OpenAnswer"]


class OpenAnswer:
    """Ask the model of `config` to go on with `messages`; read its answer from what this gives.

    The request's sampling parameters, and with `allow_client_form` its tools and format, are
    merged in. Raises `ConfigurationError` for a config that needs an agent: tools that the server
    runs, an output type, or instructions that are functions.
    """

    def __init__(
        self,
        config: AgentConfig,
        messages: Sequence[ModelMessage],
        *,
        allow_client_form: bool = True,
    ) -> None:
        self._config = config
        self._messages = messages
        self._form = allow_client_form
        self._known: ChatStream | None = None
        self._usual: AbstractAsyncContextManager[LiveStream] | None = None

    async def __aenter__(self) -> LiveStream:
        config = self._config
        _check(config)
        scope = request_scope.get()
        model = build_model(config)
        given: Any = config.model_settings
        settings = merged_settings(scope, given, client_form=self._form)
        traced = instrumentation()
        learnt = None
        if traced is None and not (self._form and scope is not None and scope.has_form):
            learnt = plain_request(model, _texts_of(config) or None, self._messages, settings)
            if learnt is not None and (known := await learnt[0].open(learnt[1])) is not None:
                known.live_only()
                self._known = known
                return live_for_client(known)
        self._usual = _open_usually(
            model,
            self._messages,
            settings,
            _parameters(config),
            scope if self._form else None,
            traced,
            learnt,
        )
        return await self._usual.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._known is not None:
            self._known.close_now()
        elif self._usual is not None:
            return await self._usual.__aexit__(kind, error, trace)
        return None


@asynccontextmanager
async def _open_usually(
    model: Model,
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters | None,
    scope: RequestScope | None,
    traced: InstrumentationSettings | None,
    learnt: tuple[LearntRequests, PlainRequest] | None,
) -> AsyncGenerator[LiveStream]:
    """By `pydantic_ai.direct`; `learnt` takes note of what was sent."""
    wanted = parameters or ModelRequestParameters()
    with Opening(model, settings, wanted, scope, messages) as asked:
        async with model_request_stream(
            model,
            messages,
            model_settings=settings,
            model_request_parameters=asked.parameters,
            instrument=traced,
        ) as response:
            opened = asked.begun()
            if learnt is not None:
                learnt[0].learn(learnt[1], opened, response)
            # The server has no tools here: whatever the model calls, it calls for the client.
            live, behind = live_of(
                opened,
                response,
                asked.client_tools,
                others_are_clients=True,
                document=asked.prompts,
            )
            if traced is None and opened.stream is not None and isinstance(live, ChatLive):
                opened.stream.live_only()
            yield live
            if traced is not None:
                # The span takes the answer from here; it comes in one piece.
                async for _ in behind:
                    pass


def _check(config: AgentConfig) -> None:
    if config.tools or config.output_type is not str:
        raise ConfigurationError(
            "A node without an agent takes no tools and no output_type; derive it from "
            "AgentStreamingNode."
        )


def _texts_of(config: AgentConfig) -> list[str]:
    texts: Any = instructions_of(config)
    given = config.instructions
    if given is not None and given.__class__ is not str and any(map(callable, texts)):
        raise ConfigurationError(
            "instructions has a function, which only an agent can call; give texts, or derive the "
            "node from AgentStreamingNode."
        )
    found: list[str] = texts
    return found


def _parameters(config: AgentConfig) -> ModelRequestParameters | None:
    texts = _texts_of(config)
    if not texts:
        return None
    return ModelRequestParameters(instruction_parts=[InstructionPart(content=t) for t in texts])
