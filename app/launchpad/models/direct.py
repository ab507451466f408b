"""One request to a model, without an agent's loop around it: what a chat model needs.

pydantic-ai's agent costs about 2 ms a run; `pydantic_ai.direct` about a tenth of that.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig
from launchpad.models.loops import Memo, loop_scope
from launchpad.models.override import model_override
from launchpad.models.provider import build_model, model_settings_key, resolve
from launchpad.observe.tracing import instrumentation
from launchpad.settings import get_settings

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model

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

    from launchpad.models.streaming import answer_id, live_stream

    model, settings = _prepared(config, allow_client_form)
    key = uuid.uuid4().hex
    token = answer_id.set(key)
    traced = instrumentation()
    opening = model_request_stream(
        model,
        list(messages),
        model_settings=settings,
        model_request_parameters=_parameters(config),
        instrument=traced,
    )
    try:
        response = await opening.__aenter__()
    finally:
        answer_id.reset(token)
    ...
