"""A streamed answer and a whole one, each as the other: `chat.completion` from chunks and back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from pydantic import ValidationError

from launchpad.models.openai_compatible.contents import text_of
from launchpad.models.openai_compatible.json_values import as_list, as_object, objects_in
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

_HEAD = ("id", "created", "model", "service_tier", "system_fingerprint", "moderation", "usage")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_JOINED = ("content", "refusal", "reasoning", "reasoning_content")


class CompletionBuilder:
    """Collects a stream's items into the body that a request without `stream` would have got.

    `model` is the one that was asked, for an answer that names none.
    """

    def __init__(self, model: str = "") -> None:
        # What pydantic-ai insists on.
        self._head: dict[str, Any] = {"id": "", "model": model}
        self._texts: dict[str, list[str]] = {}
        self._message: dict[str, Any] = {"role": "assistant"}
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: list[Any] = []
        self._finish_reason: str | None = None

    def add(self, items: Sequence[Item]) -> None:
        """Take the next items."""
        for item in items:
            if isinstance(item, str):
                self._texts.setdefault("content", []).append(item)
            else:
                self._add_chunk(item)

    def build(self) -> ChatCompletion:
        """The completion, as the SDK would have constructed it: not validated."""
        message = self._message
        for name, pieces in self._texts.items():
            message[name] = "".join(pieces)
        message.setdefault("content", None)
        if self._calls:
            for call in self._calls.values():
                # Some servers give none; the SDK's type, and the history, need one.
                call["id"] = call["id"] or f"call_{uuid.uuid4().hex}"
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": self._finish_reason,
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
        }
        body: dict[str, Any] = {**self._head, "object": "chat.completion", "choices": [choice]}
        body["usage"] = _countable(self._head.get("usage"))
        if isinstance(body.get("created"), float):
            # The SDK's type, which pydantic-ai holds a whole answer to.
            body["created"] = int(body["created"])
        return ChatCompletion.construct(**body)

    def _add_chunk(self, chunk: Chunk) -> None:
        for name in _HEAD:
            value = chunk.get(name)
            if value is not None and not (name == "created" and name in self._head):
                self._head[name] = value
        for choice in chunk["choices"]:
            if choice.get("finish_reason"):
                self._finish_reason = choice["finish_reason"]
            self._logprobs += as_list(as_object(choice.get("logprobs")).get("content"))
            self._add_delta(as_object(choice.get("delta")))

    def _add_delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name == "role":
                continue
            if name == "tool_calls":
                for fragment in value or ():
                    self._add_call(fragment)
            elif isinstance(value, str) and (name in _JOINED or name in self._texts):
                self._texts.setdefault(name, []).append(value)
            elif name == "content" and isinstance(value, list):
                self._texts.setdefault(name, []).append(text_of(cast("object", value)))
            elif isinstance(value, list):
                self._message.setdefault(name, []).extend(as_list(cast("object", value)))
            elif value is not None:
                self._message[name] = value

    def _add_call(self, fragment: dict[str, Any]) -> None:
        call = self._calls.setdefault(
            fragment["index"],
            {"id": None, "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = call["id"] or fragment.get("id")
        if fragment.get("extra_content"):
            call["extra_content"] = fragment["extra_content"]
        function = as_object(fragment.get("function"))
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def _countable(usage: object) -> object:
    """Token counts as pydantic-ai takes them with an answer in one piece: no number is no count."""
    given = as_object(usage)
    if not any(isinstance(given.get(name), int) for name in _COUNTS):
        return None
    try:
        CompletionUsage.model_validate(given)
    except ValidationError:
        return {name: n if isinstance(n := given.get(name), int) else 0 for name in _COUNTS}
    return given


def as_stream(completion: dict[str, Any]) -> bytes:
    """The event stream for the body of a server that answers whole although asked to stream."""
    choices: list[dict[str, Any]] = [
        {
            "index": choice.get("index", 0),
            "delta": as_object(choice.get("message")),
            "finish_reason": choice.get("finish_reason"),
            "logprobs": choice.get("logprobs"),
        }
        for choice in objects_in(completion.get("choices"))
    ]
    chunk: dict[str, Any] = {**completion, "object": "chat.completion.chunk", "choices": choices}
    try:
        data = msgspec.json.encode(chunk)
    except UnicodeEncodeError:
        # Half a surrogate pair, which only escapes can say.
        data = json.dumps(chunk).encode()
    return b"data: " + data + b"\n\ndata: [DONE]\n\n"
