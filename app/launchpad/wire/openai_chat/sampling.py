"""A request's sampling parameters in pydantic-ai's terms."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic_ai.settings import ModelSettings

    from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = ["SAMPLING", "model_settings", "parameters_behind"]

SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "reasoning_effort",
    "user",
)
"""The parameters that become model settings."""

_SAME_NAME = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias")

_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "max_completion_tokens": ("max_tokens",),
    "stop": ("stop_sequences",),
    "reasoning_effort": ("openai_reasoning_effort", "thinking"),
    "user": ("openai_user",),
}
"""The settings that a parameter becomes, where it is not one of its own name."""


def model_settings(request: OpenAIChatSchema) -> ModelSettings:
    """Only what the request names. `max_completion_tokens` wins over `max_tokens`.

    `parallel_tool_calls` is passed on only beside tools: providers refuse it alone.
    """
    if request.is_plain:
        return {}
    settings: dict[str, Any] = {}
    for name in _SAME_NAME:
        value = getattr(request, name)
        if value is not None:
            settings[name] = value
    limit = request.max_completion_tokens or request.max_tokens
    if limit is not None:
        settings["max_tokens"] = limit
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    # Some servers find an empty one before the first word.
    if stops := [stop for stop in stops if stop]:
        settings["stop_sequences"] = stops
    if request.reasoning_effort is not None:
        # The first is for every provider, but where nothing is known of a model it is dropped; the
        # second goes to servers of OpenAI's wire as it is.
        effort = request.reasoning_effort
        settings["thinking"] = False if effort == "none" else effort
        settings["openai_reasoning_effort"] = effort
    if request.user is not None:
        settings["openai_user"] = request.user
    if request.client_tools and request.parallel_tool_calls is not None:
        settings["parallel_tool_calls"] = request.parallel_tool_calls
    return cast("ModelSettings", settings)


def parameters_behind(request: OpenAIChatSchema, left_out: Set[str]) -> list[str]:
    """The parameters all of whose settings are in `left_out`."""
    if not left_out:
        return []
    settings = request.model_settings().keys()
    found: list[str] = []
    for name in (*SAMPLING, "parallel_tool_calls"):
        became = settings & set(_OTHER_NAMES.get(name, (name,)))
        if became and became <= left_out:
            found.append(name)
    return found
