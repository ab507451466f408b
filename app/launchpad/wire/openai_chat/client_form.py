"""What of a request changes the answer's form, in pydantic-ai's terms: tools and format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launchpad.wire.openai_chat.options import AllowedToolChoice, NamedToolChoice
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition

__all__ = ["response_format", "tool_choice", "tool_definitions"]


_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def tool_definitions(request: OpenAIChatSchema) -> list[ToolDefinition]:
    """The client's tools that the model may call."""
    if not request.client_tools:
        return []
    from pydantic_ai.tools import ToolDefinition

    return [
        ToolDefinition(
            name=tool.function.name,
            description=tool.function.description,
            parameters_json_schema=_NO_PARAMETERS
            if tool.function.parameters is None
            else tool.function.parameters,
            strict=tool.function.strict,
        )
        for tool in request.client_tools
    ]


def tool_choice(request: OpenAIChatSchema) -> str | list[str] | None:
    """`tool_choice` as the pydantic-ai setting: a word, or the names that must be called.

    OpenAI's `allowed_tools` in mode "auto" leaves the choice free among those, which are all that
    the model is told of.
    """
    chosen = request.tool_choice
    if isinstance(chosen, NamedToolChoice):
        return [chosen.function.name]
    if isinstance(chosen, AllowedToolChoice):
        allowed = chosen.allowed_tools
        if allowed.mode == "required":
            return [tool.function.name for tool in allowed.tools]
        return "auto"
    return chosen


def response_format(request: OpenAIChatSchema) -> Mapping[str, Any] | None:
    """OpenAI's `response_format` object where it asks for JSON, else None."""
    if request.response_format is None or not request.wants_json:
        return None
    return request.response_format.model_dump(exclude_none=True)
