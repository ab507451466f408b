"""What is wrong with a request though each of its parts is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from launchpad.wire.openai_chat.json_schema import schema_problem
from launchpad.wire.openai_chat.messages import AssistantMessage, FunctionMessage, ToolMessage
from launchpad.wire.openai_chat.options import (
    AllowedToolChoice,
    JsonSchemaFormat,
    NamedToolChoice,
)

if TYPE_CHECKING:
    from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = ["check"]

_NAMED = 8
_LONGEST = 64
"""How many calls without a result are named, and how much of each name."""


def check(request: OpenAIChatSchema) -> None:
    """Raise `PydanticCustomError` for the first problem; its context has `param`, maybe `code`."""
    _check_tool_results(request)
    if request.is_plain:
        return
    names = _check_tools(request)
    _check_tool_choice(request, names)
    _check_format(request)


def _check_tool_results(request: OpenAIChatSchema) -> None:
    """Each result has its call, and each call its result, as OpenAI's API wants it.

    Other than there, any messages may stand between a call and its result: some models take that.
    """
    known: set[str] = set()
    open_calls: dict[str, int] = {}
    open_functions: dict[str, int] = {}
    for position, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage):
            if message.tool_calls:
                ids = [call.id for call in message.tool_calls]
                known.update(ids)
                open_calls.update(dict.fromkeys(ids, position))
            if message.function_call is not None:
                open_functions[message.function_call.name] = position
        elif isinstance(message, ToolMessage):
            if message.tool_call_id not in known:
                raise PydanticCustomError(
                    "unknown_tool_call",
                    "no earlier assistant message has a tool call with this id",
                    {"param": f"messages[{position}].tool_call_id"},
                )
            open_calls.pop(message.tool_call_id, None)
        elif isinstance(message, FunctionMessage):
            open_functions.pop(message.name, None)
    if open_calls or open_functions:
        raise _without_result(open_calls, open_functions)


def _without_result(calls: dict[str, int], functions: dict[str, int]) -> PydanticCustomError:
    """In OpenAI's words. Agents would fail over such a conversation, or make results up."""
    kind, one, field = "tool", "tool messages responding to each 'tool_call_id'", "tool_calls"
    if not calls:
        kind, one, field = "function", "a function message with its name", "function_call"
    missing = calls or functions
    first = min(missing.values())
    names = [name[:_LONGEST] for name, position in missing.items() if position == first]
    return PydanticCustomError(
        "unanswered_call",
        "an assistant message with '{field}' must be followed by {one}. "
        "There is no {kind} message for: {names}",
        {
            "param": f"messages[{first}].{field}",
            "field": field,
            "one": one,
            "kind": kind,
            "names": ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else ""),
        },
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
