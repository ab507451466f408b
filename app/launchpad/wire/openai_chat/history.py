"""A conversation as pydantic-ai's messages.

To be imported when it is first needed: pydantic-ai's import takes longer than a command's `--help`.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import ImageUrl as ImageContent
from pydantic_ai.messages import TextPart as Words

from launchpad.wire.openai_chat.messages import (
    AssistantMessage,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from launchpad.wire.openai_chat.parts import (
    AUDIO_TYPES,
    AudioPart,
    FileData,
    FilePart,
    ImagePart,
    ImageUrl,
    RefusalPart,
    TextPart,
    decode_base64,
    decode_data_url,
    is_data_url,
    text_of,
)

__all__ = ["to_model_messages", "to_user_prompt"]

_Message = (
    SystemMessage
    | DeveloperMessage
    | UserMessage
    | AssistantMessage
    | ToolMessage
    | FunctionMessage
)


def to_user_prompt(message: UserMessage) -> str | list[UserContent]:
    """One text where the message is nothing but one, else its parts in order."""
    content = message.content
    if isinstance(content, str) or (len(content) == 1 and isinstance(content[0], TextPart)):
        return text_of(content)
    return [_user_content(part) for part in content]


def to_model_messages(messages: Sequence[_Message]) -> list[ModelMessage]:
    """`messages` in pydantic-ai's terms, neighbours on the same side in one message.

    A tool's result gets its tool's name from the call that it answers. An assistant's message
    with neither words nor calls is left out.
    """
    result: list[ModelMessage] = []
    waiting: list[ModelRequestPart] = []
    names: dict[str, str] = {}
    for position, message in enumerate(messages):
        if not isinstance(message, AssistantMessage):
            waiting.append(_request_part(message, names))
            continue
        response = _response(message, position, names)
        if not response.parts:
            continue
        if waiting:
            result.append(ModelRequest(parts=waiting))
            waiting = []
        result.append(response)
    if waiting:
        result.append(ModelRequest(parts=waiting))
    return result


def _request_part(
    message: SystemMessage | DeveloperMessage | UserMessage | ToolMessage | FunctionMessage,
    names: dict[str, str],
) -> ModelRequestPart:
    if isinstance(message, UserMessage):
        return UserPromptPart(content=to_user_prompt(message))
    if isinstance(message, ToolMessage):
        return ToolReturnPart(
            tool_name=names.get(message.tool_call_id, ""),
            content=_lines_of(message.content),
            tool_call_id=message.tool_call_id,
        )
    if isinstance(message, FunctionMessage):
        return ToolReturnPart(
            tool_name=message.name,
            content=message.content or "",
            tool_call_id=names.get(_function_key(message.name), f"call_{message.name}"),
        )
    return SystemPromptPart(content=_lines_of(message.content))


def _lines_of(content: str | list[TextPart]) -> str:
    """Where there is no place for parts, each begins a line: two words are not glued into one."""
    return content if isinstance(content, str) else "\n".join([part.text for part in content])


def _response(message: AssistantMessage, position: int, names: dict[str, str]) -> ModelResponse:
    parts: list[Any] = []
    if words := _assistant_words(message):
        parts.append(Words(content=words))
    thoughts = _thoughts(message)
    for call in message.tool_calls or ():
        names[call.id] = call.function.name
        details = thoughts
        if extra := (call.model_extra or {}).get("extra_content"):
            # What its provider wants back with it, under pydantic-ai's own name for it.
            details = {**(thoughts or {}), "extra_content": extra}
        parts.append(
            ToolCallPart(
                call.function.name, call.function.arguments, call.id, provider_details=details
            )
        )
        # Told once.
        thoughts = None
    if message.function_call is not None:
        # The older form has no ids: the result is found again by the function's name.
        name = message.function_call.name
        names[_function_key(name)] = f"call_{position}"
        parts.append(ToolCallPart(name, message.function_call.arguments, f"call_{position}"))
    return ModelResponse(parts=parts)


def _thoughts(message: AssistantMessage) -> dict[str, Any] | None:
    """What the model thought before its calls, under the name of the field that it came in.

    `models/openai_compatible/reasoning_back.py` sends it back to servers that want it.
    """
    extra = message.model_extra or {}
    for field in ("reasoning_content", "reasoning"):
        text = extra.get(field)
        if isinstance(text, str) and text:
            return {field: text}
    return None


def _function_key(name: str) -> str:
    return f"function:{name}"


def _assistant_words(message: AssistantMessage) -> str:
    refusals = [message.refusal] if message.refusal else []
    if isinstance(message.content, list):
        refusals += [part.refusal for part in message.content if isinstance(part, RefusalPart)]
    return "".join([text_of(message.content), *refusals])


def _user_content(part: TextPart | ImagePart | AudioPart | FilePart) -> UserContent:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ImagePart):
        return _image(part.image_url)
    if isinstance(part, AudioPart):
        audio = part.input_audio
        return _binary(decode_base64(audio.data), AUDIO_TYPES[audio.format])
    return _file(part.file)


def _image(image: ImageUrl) -> UserContent:
    metadata = {"detail": image.detail} if image.detail is not None else None
    if is_data_url(image.url):
        return _binary(*decode_data_url(image.url), metadata)
    return ImageContent(url=image.url, vendor_metadata=metadata)


def _file(file: FileData) -> UserContent:
    if is_data_url(file.file_data):
        return _binary(*decode_data_url(file.file_data))
    guessed, _ = mimetypes.guess_type(file.filename or "")
    return _binary(decode_base64(file.file_data), guessed or "application/octet-stream")


def _binary(data: bytes, media_type: str, metadata: dict[str, Any] | None = None) -> UserContent:
    content = BinaryContent(data=data, media_type=media_type, vendor_metadata=metadata)
    return BinaryContent.narrow_type(content)
