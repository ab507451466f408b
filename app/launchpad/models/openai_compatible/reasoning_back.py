"""What a model thought before it called a client's tools, sent back to it with the call's result.

So is a call's `extra_content`: Gemini 3 refuses to go on with a call without the signature of its
thoughts in there.

DeepSeek's and Kimi's thinking modes refuse to go on with a call without it. A conversation carries
it on the message's first `ToolCallPart`, in `provider_details`, under the field's own name
(`wire/openai_chat/history.py`): as a `ThinkingPart` it would reach every provider, and those that
do not know it get it from pydantic-ai as text of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic_ai.messages import (
    ModelResponse,
    ModelResponsePart,
    ThinkingPart,
    ToolCallPart,
)
from pydantic_ai.models.openai import OpenAIChatModel
from typing_extensions import TypeIs

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

__all__ = ["SendsReasoningBack"]

_FIELDS = ("reasoning_content", "reasoning")


class SendsReasoningBack(OpenAIChatModel):
    """A model behind a server that takes reasoning where it gave it, in a field of its own."""

    def _map_model_response(self, message: ModelResponse) -> ChatCompletionMessageParam | None:
        thoughts = list(self._thoughts(message))
        if thoughts and not any(isinstance(part, ThinkingPart) for part in message.parts):
            # Special tokens are broken in it as in whatever else a client says.
            (prepared,) = self.prepare_messages([ModelResponse(parts=thoughts)])
            message = replace(message, parts=[*prepared.parts, *message.parts])
        if any(map(_has_extra, message.parts)):
            message = replace(message, parts=[self._as_from_here(part) for part in message.parts])
        return super()._map_model_response(message)

    def _as_from_here(self, part: ModelResponsePart) -> ModelResponsePart:
        """A call of a client's history says not whose it is; pydantic-ai would keep its extra."""
        if not _has_extra(part) or part.provider_name is not None:
            return part
        return replace(part, provider_name=self.system)

    def _thoughts(self, message: ModelResponse) -> Iterator[ThinkingPart]:
        known = self.profile.get("openai_chat_thinking_field")
        way = self.profile.get("openai_chat_send_back_thinking_parts", "auto")
        # As if it came from here: pydantic-ai puts it into the text otherwise.
        origin = self.system if way == "auto" else None
        for part in message.parts:
            details = part.provider_details if isinstance(part, ToolCallPart) else None
            for field in _FIELDS:
                if text := (details or {}).get(field):
                    yield ThinkingPart(text, id=known or field, provider_name=origin)
                    break


def _has_extra(part: ModelResponsePart) -> TypeIs[ToolCallPart]:
    return isinstance(part, ToolCallPart) and "extra_content" in (part.provider_details or {})
