"""The parts of which a message's content may consist.

Unknown fields are let through everywhere. Tags that begin with `@` show up in the location of a
validation error only; `validation.explain` takes them out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

__all__ = [
    "AUDIO_TYPES",
    "AssistantContent",
    "AudioPart",
    "ChatModel",
    "FileData",
    "FilePart",
    "ImagePart",
    "ImageUrl",
    "PlainContent",
    "RefusalPart",
    "TextPart",
    "UserContent",
    "by_shape",
    "by_type",
    "decode_base64",
    "decode_data_url",
    "is_data_url",
    "member",
    "text_of",
]

AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of `input_audio.format`."""
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+*-]{1,127}/[\w!#$&^.+*-]{1,127}", re.ASCII)
"""RFC 6838, 4.2; and the `*` that a media range has (RFC 9110, 12.5.1)."""

_BASE64 = re.compile(";base64,", re.IGNORECASE)


class ChatModel(BaseModel):
    """Base of everything in a request: unknown fields are kept."""

    model_config = ConfigDict(extra="allow")


def member(value: Any, name: str) -> Any:
    """What a mapping or an object has under `name`; None where it has nothing."""
    if value.__class__ is dict:
        return value.get(name)
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    return getattr(value, name, None)


def by_type(value: Any) -> str | None:
    """The tag of an object that says its `type`."""
    kind = member(value, "type")
    return f"@{kind}" if isinstance(kind, str) else None


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


def is_data_url(url: str) -> bool:
    """Whether the scheme is `data`; schemes have no case (RFC 3986, 3.1)."""
    return url[:5].lower() == "data:"


def decode_data_url(url: str) -> tuple[bytes, str]:
    """The bytes and the media type of a base64 `data:` URL (RFC 2397); raises `ValueError`.

    The type is in lower case: it has none of its own (RFC 9110, 8.3.1).
    """
    marker = _BASE64.search(url)
    if not is_data_url(url) or marker is None:
        raise ValueError("a data URL has the form data:<media type>;base64,<data>")
    head, data = url[5 : marker.start()], url[marker.end() :]
    body = unquote_to_bytes(data).decode("latin-1") if "%" in data else data
    media_type = head.partition(";")[0].strip().lower() or "text/plain"
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("a media type has the form type/subtype")
    return decode_base64(body), media_type


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
        if is_data_url(url):
            decode_data_url(url)
        elif not url[:8].lower().startswith(("http://", "https://")):
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
        if is_data_url(data):
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


def text_of(content: str | list[Any] | None) -> str:
    """The words of a message's content: a text, or its text parts joined."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join([part.text for part in content if isinstance(part, TextPart)])
