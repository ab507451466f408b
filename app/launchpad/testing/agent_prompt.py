"""A pydantic-ai request as the scripted model reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    SystemPromptPart,
    TextContent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings, ToolOrOutput

from launchpad.testing.prompt import Prompt, Said, Tool

__all__ = ["prompt_from_agent"]

Choice = Literal["none", "auto", "required"]


def prompt_from_agent(
    messages: Sequence[ModelMessage],
    settings: ModelSettings | None,
    parameters: ModelRequestParameters,
    *,
    model: str,
) -> Prompt:
    """The prompt of one model request; `parameters` are the prepared ones."""
    settings = settings or {}
    said = [Said("system", part.content) for part in parameters.instruction_parts or ()]
    for message in messages:
        said += _read(message)
    tools, choice = _tools(settings, parameters)
    target = parameters.output_object if parameters.output_mode != "tool" else None
    return Prompt(
        messages=said,
        model=model,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=settings.get("parallel_tool_calls", True),
        stop=settings.get("stop_sequences") or (),
        max_tokens=settings.get("max_tokens"),
        json=target is not None,
        schema=None if target is None else target.json_schema,
        seed=settings.get("seed"),
    )


def _read(message: ModelMessage) -> Iterator[Said]:
    if isinstance(message, ModelRequest):
        for part in message.parts:
            match part:
                case SystemPromptPart():
                    yield Said("system", part.content)
                case UserPromptPart():
                    yield Said("user", _text(part.content))
                case ToolReturnPart():
                    yield Said("tool", part.model_response_str(), tool=part.tool_name)
                case _:
                    pass
        return
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    calls = tuple(part.tool_name for part in message.parts if isinstance(part, ToolCallPart))
    yield Said("assistant", text, calls)


def _text(content: str | Sequence[UserContent]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_word(item) for item in content)


def _word(item: UserContent) -> str:
    match item:
        case str():
            return item
        case TextContent():
            return item.content
        case ImageUrl():
            return "[image]"
        case AudioUrl():
            return "[audio]"
        case BinaryContent():
            return "[audio]" if item.is_audio else "[image]" if item.is_image else "[file]"
        case _:
            return "[file]"


def _tools(
    settings: ModelSettings, parameters: ModelRequestParameters
) -> tuple[list[Tool], Choice]:
    """The tools that may be called, and whether one must be."""
    functions, outputs = parameters.declared_function_tools, parameters.output_tools
    wanted = settings.get("tool_choice")
    choice: Choice = "auto" if parameters.allow_text_output else "required"
    match wanted:
        case "none":
            functions = []
        case "required":
            choice, outputs = "required", []
        case list():
            choice = "required"
            functions = [tool for tool in functions if tool.name in wanted]
            outputs = [tool for tool in outputs if tool.name in wanted]
        case ToolOrOutput(function_tools=names):
            functions = [tool for tool in functions if tool.name in names]
        case _:
            pass
    tools = [Tool(tool.name, tool.parameters_json_schema) for tool in (*functions, *outputs)]
    return tools, choice if tools else "auto"
