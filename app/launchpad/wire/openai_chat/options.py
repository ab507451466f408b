"""The parts of a request that are objects of their own: tools, formats, stream options."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Discriminator, Field, Strict, Tag
from typing_extensions import TypedDict

from launchpad.wire.openai_chat.parts import ChatModel, by_shape, by_type

__all__ = [
    "AllowedToolChoice",
    "ChatTool",
    "Flag",
    "FunctionDefinition",
    "Integer",
    "JsonObjectFormat",
    "JsonSchemaFormat",
    "NamedToolChoice",
    "Number",
    "ResponseFormat",
    "Stop",
    "StreamOptions",
    "TextFormat",
    "ToolChoice",
]

Flag = Annotated[bool, Strict()]
"""true or false, and nothing that merely looks like it."""


Integer = Annotated[int, Strict()]
"""A whole number: no text, no true or false."""
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A number; an integer will do."""
ToolName = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
"""What OpenAI takes as the name of a function or of a schema."""


class StreamOptions(ChatModel):
    """How the stream is to look."""

    include_usage: Flag | None = None
    """Token counts in a last chunk."""
    valid_json_chunks: Flag | None = None
    """Every chunk's content is a complete JSON object (WorkflowAI's extension)."""


class FunctionDefinition(ChatModel):
    """A client's function; `parameters` is a JSON schema."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Flag | None = None


class ChatTool(ChatModel):
    """A tool that the client runs."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class FunctionName(ChatModel):
    """Names a function."""

    name: str


class NamedToolChoice(ChatModel):
    """The model has to call this one."""

    type: Literal["function"] = "function"
    function: FunctionName


class AllowedTools(ChatModel):
    """Which of the tools may be called."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedToolChoice] = Field(min_length=1)


class AllowedToolChoice(ChatModel):
    """The model may, or has to, call one of these."""

    type: Literal["allowed_tools"] = "allowed_tools"
    allowed_tools: AllowedTools


class TextFormat(ChatModel):
    """Plain text."""

    type: Literal["text"] = "text"


class JsonObjectFormat(ChatModel):
    """Any JSON object."""

    type: Literal["json_object"] = "json_object"


class JsonSchemaSpec(TypedDict):
    """A JSON schema under a name. A dict, because pydantic models can't have a field `schema`."""

    name: ToolName
    description: NotRequired[str | None]
    schema: NotRequired[dict[str, Any] | None]
    strict: NotRequired[Flag | None]


class JsonSchemaFormat(ChatModel):
    """JSON that obeys a schema."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: JsonSchemaSpec


def by_choice(value: Any) -> str | None:
    return "@string" if isinstance(value, str) else by_type(value)


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("@text")]
    | Annotated[JsonObjectFormat, Tag("@json_object")]
    | Annotated[JsonSchemaFormat, Tag("@json_schema")],
    Discriminator(by_type),
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("@string")]
    | Annotated[NamedToolChoice, Tag("@function")]
    | Annotated[AllowedToolChoice, Tag("@allowed_tools")],
    Discriminator(by_choice),
]
Stop = Annotated[
    Annotated[str, Tag("@string")] | Annotated[list[str], Tag("@array")],
    Discriminator(by_shape),
]
