"""OpenAI's chat completion request as the scripted upstream reads it: strictly, like OpenAI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from launchpad.testing.prompt import BadPromptError, Prompt, Said, Tool
from launchpad.testing.schema_values import strict_problem

__all__ = ["ChatRequest", "read_chat_request"]


class Part(msgspec.Struct):
    """A content part; unknown kinds are shown by their name."""

    type: str
    text: str = ""
    refusal: str = ""


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str = "{}"


class CalledTool(msgspec.Struct):
    id: str
    function: CalledFunction


class ChatMessage(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}
    strict: bool | None = None


class FunctionTool(msgspec.Struct):
    type: Literal["function"]
    function: Function


class JsonSchema(msgspec.Struct):
    name: str
    schema: dict[str, Any] = {}
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ToolChoice(msgspec.Struct):
    type: str
    function: Function | None = None


class ChatRequest(msgspec.Struct):
    """The fields that the scripted model obeys; all others are let through unread."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None


DECODER = msgspec.json.Decoder(ChatRequest)
KINDS = {"image_url": "[image]", "input_audio": "[audio]", "file": "[file]"}


def read_chat_request(raw: bytes) -> tuple[ChatRequest, Prompt]:
    """Decode and check a request body. Raises `BadPromptError`, as OpenAI would answer 400."""
    try:
        request = DECODER.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadPromptError(str(error)) from error
    if not request.messages:
        raise BadPromptError("'messages' must hold at least one message.", "messages")
    if request.n is not None and not 1 <= request.n <= 128:
        raise BadPromptError("'n' must be between 1 and 128.", "n")
    if request.stream_options is not None and not request.stream:
        raise BadPromptError("'stream_options' is only allowed when streaming.", "stream_options")
    names = _tool_names(request.messages)
    limit = request.max_completion_tokens or request.max_tokens
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    choice, named = _tool_choice(request)
    schema = _schema(request.response_format)
    kind = request.response_format.type if request.response_format else "text"
    return request, Prompt(
        messages=[_said(message, names) for message in request.messages],
        model=request.model,
        tools=_tools(request.tools or []),
        tool_choice=choice,
        named_tool=named,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        stop=stop,
        max_tokens=limit,
        json=kind != "text",
        schema=schema,
        seed=request.seed,
        choices=request.n or 1,
    )


def _said(message: ChatMessage, names: dict[str, str]) -> Said:
    content = message.content
    if isinstance(content, list):
        text = "\n".join(
            part.text or part.refusal or KINDS.get(part.type, f"[{part.type}]") for part in content
        )
    else:
        text = content or ""
    role = "system" if message.role == "developer" else message.role
    calls = tuple(call.function.name for call in message.tool_calls or ())
    return Said(role, text, calls, names.get(message.tool_call_id or ""))


def _tool_names(messages: Sequence[ChatMessage]) -> dict[str, str]:
    """Tool names by call id; every call must be answered before anyone else speaks."""
    names: dict[str, str] = {}
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise BadPromptError(
                    "Messages with role 'tool' must be a response to a preceding message "
                    "with 'tool_calls'.",
                    "messages",
                )
            open_calls.discard(message.tool_call_id)
            continue
        _none_open(open_calls)
        for call in message.tool_calls or ():
            names[call.id] = call.function.name
            open_calls.add(call.id)
    _none_open(open_calls)
    return names


def _none_open(open_calls: set[str]) -> None:
    if open_calls:
        raise BadPromptError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. Unanswered: {min(open_calls)}",
            "messages",
        )


def _tools(given: Sequence[FunctionTool]) -> list[Tool]:
    for tool in given:
        problem = strict_problem(tool.function.parameters) if tool.function.strict else None
        if problem:
            raise BadPromptError(
                f"Invalid schema for function '{tool.function.name}': {problem}", "tools"
            )
    return [Tool(tool.function.name, tool.function.parameters) for tool in given]


def _tool_choice(
    request: ChatRequest,
) -> tuple[Literal["none", "auto", "required"], str | None]:
    choice = request.tool_choice
    known = {tool.function.name for tool in request.tools or ()}
    if choice is None:
        return "auto", None
    if not known and choice != "none":
        raise BadPromptError("'tool_choice' is only allowed with 'tools'.", "tool_choice")
    match choice:
        case "none" | "auto" | "required":
            return choice, None
        case ToolChoice(function=Function(name=name)) if name in known:
            return "required", name
        case _:
            raise BadPromptError("'tool_choice' names no tool of this request.", "tool_choice")


def _schema(given: ResponseFormat | None) -> dict[str, Any] | None:
    if given is None or given.type != "json_schema":
        return None
    if given.json_schema is None:
        raise BadPromptError("'json_schema' is missing.", "response_format.json_schema")
    problem = strict_problem(given.json_schema.schema) if given.json_schema.strict else None
    if problem:
        raise BadPromptError(
            f"Invalid schema for response_format '{given.json_schema.name}': {problem}",
            "response_format",
        )
    return given.json_schema.schema
