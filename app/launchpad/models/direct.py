"""One request to a model, without an agent's loop around it: what a chat model needs.

pydantic-ai's agent costs about 2 ms a run; `pydantic_ai.direct` about a tenth of that.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from launchpad.errors import ConfigurationError, UpstreamError
from launchpad.models.agent import instructions_of
from launchpad.models.config import AgentConfig
from launchpad.models.loops import Memo, loop_scope
from launchpad.models.override import model_override
from launchpad.models.provider import build_model, model_settings_key, resolve
from launchpad.observe.tracing import instrumentation
from launchpad.settings import get_settings

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, ModelRequestParameters

    from launchpad.models.live import LiveStream

__all__ = ["open_answer"]

_MODELS = "direct models"


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

    from launchpad.models.streaming import answer_id, live_stream

    _check(config)
    model = _streaming_model(config, allow_client_form)
    key = uuid.uuid4().hex
    token = answer_id.set(key)
    traced = instrumentation()
    async with model_request_stream(
        model,
        messages,
        model_settings=cast("ModelSettings | None", config.model_settings),
        model_request_parameters=_parameters(config),
        instrument=traced,
    ) as response:
        answer_id.reset(token)
        live = live_stream(key)
        if live is None:
            raise UpstreamError("The model's answer cannot be streamed.")
        yield live
        if traced is not None:
            # The span takes the answer from here; it comes in one piece.
            async for _ in response:
                pass


def _check(config: AgentConfig) -> None:
    if config.tools or config.output_type is not str:
        raise ConfigurationError(
            "A node without an agent takes no tools and no output_type; derive it from "
            "AgentStreamingNode."
        )


def _streaming_model(config: AgentConfig, form: bool) -> Model:
    """`StreamingModel` around the config's model: the same one on one event loop."""
    from launchpad.models.streaming import StreamingModel

    settings = get_settings()
    memo: Memo[Model] = loop_scope().kept.setdefault(_MODELS, Memo())
    key = (config, form, id(model_override.get()), *model_settings_key(settings))

    def build() -> Model:
        found = resolve(config, settings)
        return StreamingModel(build_model(found, settings), allow_client_form=form)

    return memo.get(key, build)


def _parameters(config: AgentConfig) -> ModelRequestParameters | None:
    texts = instructions_of(config)
    if not texts:
        return None
    from pydantic_ai.messages import InstructionPart
    from pydantic_ai.models import ModelRequestParameters

    return ModelRequestParameters(instruction_parts=[InstructionPart(content=t) for t in texts])
