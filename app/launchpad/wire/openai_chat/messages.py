"""The messages of a request, by role."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from launchpad.wire.openai_chat.parts import (
    AssistantContent,
    ChatModel,
    PlainContent,
    UserContent,
    member,
)

__all__ = [
    "AssistantMessage",
    "ChatMessage",
    "DeveloperMessage",
    "FunctionCall",
    "FunctionMessage",
    "SystemMessage",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
]


class SystemMessage(ChatModel):
    """What the model is told about its task."""

    role: Literal["system"] = "system"
    content: PlainContent
    name: str | None = None


class DeveloperMessage(ChatModel):
    """OpenAI's newer name for a system message."""

    role: Literal["developer"] = "developer"
    content: PlainContent
    name: str | None = None


class UserMessage(ChatModel):
    """What the user said."""

    role: Literal["user"] = "user"
    content: UserContent
    name: str | None = None


class FunctionCall(ChatModel):
    """Which function the model called; `arguments` is JSON text."""

    name: str
    arguments: str = ""


class ToolCall(ChatModel):
    """One call of a client's tool."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class AssistantMessage(ChatModel):
    """What the model said before: words, tool calls, or both."""

    role: Literal["assistant"] = "assistant"
    content: AssistantContent | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    name: str | None = None


class ToolMessage(ChatModel):
    """What a client's tool returned."""

    role: Literal["tool"] = "tool"
    content: PlainContent
    tool_call_id: str


class FunctionMessage(ChatModel):
    """What a client's function returned (OpenAI's older form of `tool`)."""

    role: Literal["function"] = "function"
    content: str | None = None
    name: str


def by_role(value: Any) -> str | None:
    """The tag of a message."""
    role = member(value, "role")
    return f"@{role}" if isinstance(role, str) else None


ChatMessage = Annotated[
    Annotated[SystemMessage, Tag("@system")]
    | Annotated[DeveloperMessage, Tag("@developer")]
    | Annotated[UserMessage, Tag("@user")]
    | Annotated[AssistantMessage, Tag("@assistant")]
    | Annotated[ToolMessage, Tag("@tool")]
    | Annotated[FunctionMessage, Tag("@function")],
    Discriminator(by_role),
]
"""One message, by its role."""
