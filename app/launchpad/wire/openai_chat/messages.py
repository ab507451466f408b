"""The messages of a request, part by part.

Unknown fields are let through everywhere. Tags that begin with `@` show up in the location of a
validation error only; `validation.explain` takes them out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

__all__ = [
    "AssistantMessage",
    "AudioPart",
    "ChatMessage",
    "ChatModel",
    "DeveloperMessage",
    "FilePart",
    "FunctionCall",
    "FunctionMessage",
    "ImagePart",
    "RefusalPart",
    "SystemMessage",
    "TextPart",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
    "by_type",
    "decode_base64",
    "decode_data_url",
    "text_of",
]

AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class ChatModel(BaseModel):
    """Base of everything in a request: unknown fields are kept."""

    model_config = ConfigDict(extra="allow")


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    return getattr(value, name, None)


def by_type(value: Any) -> str | None:
    """The tag of an object that says its `type`."""
    kind = _member(value, "type")
    return f"@{kind}" if isinstance(kind, str) else None


def by_role(value: Any) -> str | None:
    """The tag of a message."""
    role = _member(value, "role")
    return f"@{role}" if isinstance(role, str) else None


def by_shape(value: Any) -> str | None:
    """The tag of a message's content: one text, or a list of parts."""
    if isinstance(value, str):
        return "@string"
    return "@array" if isinstance(value, list | tuple) else None


def decode_base64(data: str) -> bytes:
    """The bytes of `data`; raises `ValueError` where it is not base64."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the data is not valid base64") from None


def decode_data_url(url: str) -> tuple[bytes, str]:
    """The bytes and the media type of a base64 `data:` URL (RFC 2397); raises `ValueError`."""
    head, marker, data = url.removeprefix("data:").partition(";base64,")
    if not url.startswith("data:") or not marker:
        raise ValueError("a data URL has the form data:<media type>;base64,<data>")
    body = unquote_to_bytes(data).decode("latin-1") if "%" in data else data
    return decode_base64(body), head.partition(";")[0] or "text/plain"


class TextPart(ChatModel):
    """A part that is text."""

    type: Literal["text"] = "text"
    text: str


class RefusalPart(ChatModel):
    """An assistant's refusal."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class ImageUrl(ChatModel):
    """Where an image is: http, https or data."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None

    @field_validator("url")
    @classmethod
    def _check_scheme(cls, url: str) -> str:
        if url.startswith("data:"):
            decode_data_url(url)
        elif not url.startswith(("http://", "https://")):
            raise ValueError("an image's URL begins with https://, http:// or data:")
        return url


class ImagePart(ChatModel):
    """An image."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class InputAudio(ChatModel):
    """A recording, in base64."""

    data: str
    format: Literal["wav", "mp3"]

    @field_validator("data")
    @classmethod
    def _check_data(cls, data: str) -> str:
        decode_base64(data)
        return data


class AudioPart(ChatModel):
    """A recording."""

    type: Literal["input_audio"] = "input_audio"
    input_audio: InputAudio


class FileData(ChatModel):
    """A file as a data URL or in bare base64. `file_id` would need a store: there is none."""

    file_data: str
    filename: str | None = None

    @field_validator("file_data")
    @classmethod
    def _check_data(cls, data: str) -> str:
        if data.startswith("data:"):
            decode_data_url(data)
        else:
            decode_base64(data)
        return data


class FilePart(ChatModel):
    """A file."""

    type: Literal["file"] = "file"
    file: FileData


UserPart = Annotated[
    Annotated[TextPart, Tag("@text")]
    | Annotated[ImagePart, Tag("@image_url")]
    | Annotated[AudioPart, Tag("@input_audio")]
    | Annotated[FilePart, Tag("@file")],
    Discriminator(by_type),
]
AssistantPart = Annotated[
    Annotated[TextPart, Tag("@text")] | Annotated[RefusalPart, Tag("@refusal")],
    Discriminator(by_type),
]
PlainPart = Annotated[Annotated[TextPart, Tag("@text")], Discriminator(by_type)]

UserContent = Annotated[
    Annotated[str, Tag("@string")] | Annotated[list[UserPart], Field(min_length=1), Tag("@array")],
    Discriminator(by_shape),
]
AssistantContent = Annotated[
    Annotated[str, Tag("@string")] | Annotated[list[AssistantPart], Tag("@array")],
    Discriminator(by_shape),
]
PlainContent = Annotated[
    Annotated[str, Tag("@string")] | Annotated[list[TextPart], Field(min_length=1), Tag("@array")],
    Discriminator(by_shape),
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


def text_of(content: str | list[Any] | None) -> str:
    """The words of a message's content: a text, or its text parts joined."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join([part.text for part in content if isinstance(part, TextPart)])
