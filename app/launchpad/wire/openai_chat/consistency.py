"""What is wrong with a request though each of its parts is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from launchpad.wire.openai_chat.json_schema import schema_problem
from launchpad.wire.openai_chat.messages import AssistantMessage, ToolMessage
from launchpad.wire.openai_chat.options import (
    AllowedToolChoice,
    JsonSchemaFormat,
    NamedToolChoice,
)

if TYPE_CHECKING:
    from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = ["check"]


def check(request: OpenAIChatSchema) -> None:
    """Raise `PydanticCustomError` for the first problem; its context has `param`, maybe `code`."""
    _check_tool_results(request)
    if request.is_plain:
        return
    names = _check_tools(request)
    _check_tool_choice(request, names)
    _check_format(request)


def _check_tool_results(request: OpenAIChatSchema) -> None:
    known: set[str] = set()
    for position, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage):
            known.update(call.id for call in message.tool_calls or ())
        elif isinstance(message, ToolMessage) and message.tool_call_id not in known:
            raise PydanticCustomError(
                "unknown_tool_call",
                "no earlier assistant message has a tool call with this id",
                {"param": f"messages[{position}].tool_call_id"},
            )


def _check_tools(request: OpenAIChatSchema) -> set[str]:
    names: set[str] = set()
    for position, tool in enumerate(request.tools or ()):
        function = tool.function
        if function.name in names:
            raise PydanticCustomError(
                "duplicate_tool",
                "an earlier tool has this name",
                {"param": f"tools[{position}].function.name"},
            )
        names.add(function.name)
        problem = schema_problem(function.parameters or {})
        if problem is not None:
            raise PydanticCustomError(
                "invalid_schema",
                "the schema of function '{name}' is not valid: {problem}",
                {
                    "param": f"tools[{position}].function.parameters",
                    "code": "invalid_function_parameters",
                    "name": function.name,
                    "problem": problem,
                },
            )
    return names


def _check_tool_choice(request: OpenAIChatSchema, names: set[str]) -> None:
    chosen = request.tool_choice
    if chosen == "required" and not names:
        raise PydanticCustomError(
            "missing_tools",
            "it requires 'tools', of which there are none",
            {"param": "tool_choice"},
        )
    if isinstance(chosen, NamedToolChoice):
        wanted = {"tool_choice.function.name": chosen.function.name}
    elif isinstance(chosen, AllowedToolChoice):
        wanted = {
            f"tool_choice.allowed_tools.tools[{position}].function.name": tool.function.name
            for position, tool in enumerate(chosen.allowed_tools.tools)
        }
    else:
        return
    for param, name in wanted.items():
        if name not in names:
            raise PydanticCustomError(
                "unknown_tool", "no tool in 'tools' has this name", {"param": param}
            )


def _check_format(request: OpenAIChatSchema) -> None:
    if not isinstance(request.response_format, JsonSchemaFormat):
        return
    spec = request.response_format.json_schema
    problem = schema_problem(spec.get("schema") or {})
    if problem is not None:
        raise PydanticCustomError(
            "invalid_schema",
            "the schema '{name}' is not valid: {problem}",
            {
                "param": "response_format",
                "code": "invalid_json_schema",
                "name": spec["name"],
                "problem": problem,
            },
        )
