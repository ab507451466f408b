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
from launchpad.models.scope import merged_parameters, merged_settings, request_scope
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

    from launchpad.models.openai_compatible.client import listen, stop_listening
    from launchpad.models.streaming import live_of

    _check(config)
    scope = request_scope.get()
    form = allow_client_form
    settings = cast("ModelSettings | None", config.model_settings)
    parameters = _parameters(config) or ModelRequestParameters()
    tools = scope.client_tools if scope is not None and form else ()
    traced = instrumentation()
    opened = listen()
    async with model_request_stream(
        build_model(config),
        messages,
        model_settings=merged_settings(scope, settings, client_form=form),
        model_request_parameters=merged_parameters(scope, parameters, client_form=form),
        instrument=traced,
    ) as response:
        stop_listening()
        live, behind = live_of(opened, response, frozenset(tool.name for tool in tools))
        if traced is None and opened.stream is not None:
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
