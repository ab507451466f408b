"""Anthropic's messages request, as far as the scripted upstream reads it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from launchpad.testing.prompt import BadPromptError, Prompt, Said, Tool

__all__ = ["MessagesRequest", "read_messages_request"]


class Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    tool_use_id: str = ""
    content: str | list[Block] | None = None


class Message(msgspec.Struct):
    role: Literal["user", "assistant"]
    content: str | list[Block]


class ToolDefinition(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] = {}


class ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class OutputFormat(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    format: OutputFormat | None = None


class MessagesRequest(msgspec.Struct):
    """The fields that the scripted model obeys."""

    model: str
    messages: list[Message]
    max_tokens: int
    system: str | list[Block] | None = None
    stream: bool = False
    stop_sequences: list[str] = []
    tools: list[ToolDefinition] = []
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None


TOOL_CHOICES: dict[str, Literal["none", "auto", "required"]] = {
    "none": "none",
    "auto": "auto",
    "any": "required",
    "tool": "required",
}
DECODER = msgspec.json.Decoder(MessagesRequest)


def read_messages_request(raw: bytes) -> tuple[MessagesRequest, Prompt]:
    """Decode a request body. Raises `BadPromptError` for one that Anthropic would refuse."""
    try:
        request = DECODER.decode(raw)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadPromptError(str(error)) from error
    return request, _prompt(request)


def _prompt(request: MessagesRequest) -> Prompt:
    said: list[Said] = []
    if request.system is not None:
        said.append(Said("system", _text(request.system)))
    names: dict[str, str] = {}
    for message in request.messages:
        said += _read_message(message, names)
    choice = request.tool_choice or ToolChoice("auto")
    schema = request.output_config.format if request.output_config else None
    return Prompt(
        messages=said,
        model=request.model,
        tools=[Tool(tool.name, tool.input_schema) for tool in request.tools],
        tool_choice=TOOL_CHOICES[choice.type],
        named_tool=choice.name,
        parallel_tool_calls=not choice.disable_parallel_tool_use,
        stop=request.stop_sequences,
        max_tokens=request.max_tokens,
        json=schema is not None,
        schema=None if schema is None else schema.schema,
    )


def _read_message(message: Message, names: dict[str, str]) -> list[Said]:
    if isinstance(message.content, str):
        return [Said(message.role, message.content)]
    said: list[Said] = []
    for block in message.content:
        if block.type == "tool_use":
            names[block.id] = block.name
        elif block.type == "tool_result":
            said.append(Said("tool", _text(block.content), tool=names.get(block.tool_use_id)))
    calls = tuple(block.name for block in message.content if block.type == "tool_use")
    words = [block for block in message.content if block.type in {"text", "image"}]
    if words or calls:
        said.append(Said(message.role, _text(words), calls))
    return said


def _text(content: str | list[Block] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(f"[{b.type}]" if b.type != "text" else b.text for b in content)
