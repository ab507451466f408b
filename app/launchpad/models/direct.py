"""One request to a model, without an agent's loop around it: what a chat model needs.

pydantic-ai's agent costs about 2 ms a run; `pydantic_ai.direct` about a tenth of that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from launchpad.errors import ConfigurationError
from launchpad.models.agent import instructions_of
from launchpad.models.config import AgentConfig
from launchpad.models.provider import build_model
from launchpad.models.scope import merged_settings, request_scope
from launchpad.observe.tracing import instrumentation

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import ModelRequestParameters

    from launchpad.models.live import LiveStream

__all__ = ["open_answer"]


@asynccontextmanager
async def open_answer(
    config: AgentConfig, messages: Sequence[ModelMessage], *, allow_client_form: bool = True
) -> AsyncGenerator[LiveStream]:
    """Ask the model of `config` to go on with `messages`; read its answer from what this yields.

    The request's sampling parameters, and with `allow_client_form` its tools and format, are
    merged in. Raises `ConfigurationError` for a config that needs an agent: tools that the server
    runs, or an output type.
    """
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.models import ModelRequestParameters

    from launchpad.models.chat_live import ChatLive
    from launchpad.models.live_of import live_for_client, live_of
    from launchpad.models.openai_compatible.learnt import plain_request
    from launchpad.models.opening import Opening

    _check(config)
    scope = request_scope.get()
    form = allow_client_form
    model = build_model(config)
    given = cast("ModelSettings | None", config.model_settings)
    settings = merged_settings(scope, given, client_form=form)
    traced = instrumentation()
    learnt = None
    if traced is None and not (form and scope is not None and scope.has_form):
        learnt = plain_request(model, instructions_of(config) or None, messages, settings)
        if learnt is not None and (known := await learnt[0].open(learnt[1])) is not None:
            async with known:
                known.live_only()
                yield live_for_client(known)
            return
    parameters = _parameters(config) or ModelRequestParameters()
    with Opening(model, settings, parameters, scope if form else None) as asked:
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
            live, behind = live_of(opened, response, asked.client_tools, others_are_clients=True)
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


def _parameters(config: AgentConfig) -> ModelRequestParameters | None:
    texts = instructions_of(config)
    if not texts:
        return None
    from pydantic_ai.messages import InstructionPart
    from pydantic_ai.models import ModelRequestParameters

    return ModelRequestParameters(instruction_parts=[InstructionPart(content=t) for t in texts])
