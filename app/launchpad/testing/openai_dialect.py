"""OpenAI's chat completions, written as OpenAI writes them: chunks, and the whole answer.

The rules are those of https://platform.openai.com/docs/api-reference/chat: `role` once per
choice, `usage: null` in each chunk where usage was asked for, then a chunk with no choices.
"""

from __future__ import annotations

import time
from typing import Any

from launchpad.testing import tokens
from launchpad.testing.dialect import ERROR_TYPES, encode, event_bytes
from launchpad.testing.openai_request import read_chat_request
from launchpad.testing.steps import (
    Chunk,
    Done,
    ErrorEvent,
    Finish,
    Reasoning,
    Refusal,
    Step,
    ToolDelta,
    UsageStep,
)

__all__ = ["OpenAIDialect", "error_body", "models_body"]


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> bytes:
    """OpenAI's error object for an HTTP status."""
    kind = ERROR_TYPES.get(status, "server_error")
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def models_body(names: list[str]) -> bytes:
    """The answer to `GET /v1/models`."""
    models = [
        {"id": name, "object": "model", "created": 1767225600, "owned_by": "launchpad"}
        for name in names
    ]
    return encode({"object": "list", "data": models})


class OpenAIDialect:
    """One chat completion request. Raises `BadPromptError` when made from a bad body."""

    def __init__(self, raw: bytes, number: int) -> None:
        self.request, self.prompt = read_chat_request(raw)
        self.stream = bool(self.request.stream)
        options = self.request.stream_options
        self.include_usage = options is not None and options.include_usage
        self.head: dict[str, Any] = {
            "id": f"chatcmpl-scripted-{number}",
            "object": "chat.completion.chunk" if self.stream else "chat.completion",
            "created": int(time.time()),
            "model": self.prompt.model,
            "system_fingerprint": "fp_scripted",
        }
        self._begun: set[int] = set()
        self._collected: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None

    def event(self, step: Step) -> bytes:
        """The chunk of a content step, with the role's chunk before a choice's first."""
        if isinstance(step, Chunk):
            return self._delta(step.choice, {"content": step.text}, step.text)
        match step:
            case Reasoning(text=text, choice=choice):
                data = self._delta(choice, {"reasoning_content": text})
            case Refusal(text=text, choice=choice):
                data = self._delta(choice, {"refusal": text})
            case ToolDelta(choice=choice):
                data = self._delta(choice, {"tool_calls": [_call_delta(step)]})
            case Finish(reason=reason, choice=choice):
                data = self._opening(choice, {}) + self._chunk(choice, {}, reason)
            case UsageStep() if self.include_usage:
                data = event_bytes({**self.head, "choices": [], "usage": _usage(step)})
            case Done():
                data = b"data: [DONE]\n\n"
            case _:
                data = b""
        return data

    def error_event(self, step: ErrorEvent) -> bytes:
        """OpenAI's error object as an event."""
        error = {"message": step.message, "type": step.type, "param": None, "code": step.code}
        return event_bytes({"error": error})

    def _delta(self, choice: int, delta: dict[str, Any], text: str | None = None) -> bytes:
        if choice in self._begun:
            return self._chunk(choice, delta, None, text)
        return self._opening(choice, delta) + self._chunk(choice, delta, None, text)

    def _opening(self, choice: int, first: dict[str, Any]) -> bytes:
        if choice in self._begun:
            return b""
        self._begun.add(choice)
        content = None if "tool_calls" in first else ""
        return self._chunk(choice, {"role": "assistant", "content": content, "refusal": None}, None)

    def _chunk(
        self, choice: int, delta: dict[str, Any], finish: str | None, text: str | None = None
    ) -> bytes:
        entry: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": finish}
        if self.request.logprobs:
            entry["logprobs"] = None if text is None else _logprobs(text)
        chunk: dict[str, Any] = {**self.head, "choices": [entry]}
        if self.include_usage:
            chunk["usage"] = None
        return event_bytes(chunk)

    def collect(self, step: Step) -> None:
        """Add a content step to its choice."""
        if isinstance(step, UsageStep):
            self._usage = _usage(step)
        elif isinstance(step, Chunk | Reasoning | Refusal | ToolDelta | Finish):
            self._collected.setdefault(step.choice, _Choice()).add(step)

    def body(self) -> bytes:
        """The `chat.completion` object of all that was collected."""
        choices = [
            choice.body(index, logprobs=bool(self.request.logprobs))
            for index, choice in sorted(self._collected.items())
        ]
        return encode({**self.head, "choices": choices, "usage": self._usage})


class _Choice:
    """A choice's message as it grows, for the answer that is not streamed."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.finish: str | None = None

    def add(self, step: Chunk | Reasoning | Refusal | ToolDelta | Finish) -> None:
        match step:
            case Chunk(text=text):
                self.text.append(text)
            case Reasoning(text=text):
                self.reasoning.append(text)
            case Refusal(text=text):
                self.refusal.append(text)
            case Finish(reason=reason):
                self.finish = reason
            case ToolDelta():
                self._add_call(step)

    def _add_call(self, step: ToolDelta) -> None:
        call = self.calls.get(step.index)
        if call is None:
            function = {"name": step.name, "arguments": step.arguments}
            self.calls[step.index] = {"id": step.id, "type": "function", "function": function}
        else:
            call["function"]["arguments"] += step.arguments

    def body(self, index: int, *, logprobs: bool) -> dict[str, Any]:
        text = "".join(self.text)
        silent = not text and (self.calls or self.refusal)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else text,
            "refusal": "".join(self.refusal) or None,
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [self.calls[number] for number in sorted(self.calls)]
        entry: dict[str, Any] = {"index": index, "message": message, "finish_reason": self.finish}
        entry["logprobs"] = _logprobs(text) if logprobs else None
        return entry


def _call_delta(step: ToolDelta) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": step.arguments}
    call: dict[str, Any] = {"index": step.index}
    if step.id is not None:
        call |= {"id": step.id, "type": "function"}
    if step.name is not None:
        function = {"name": step.name, **function}
    return call | {"function": function}


def _usage(step: UsageStep) -> dict[str, Any]:
    return {
        "prompt_tokens": step.input_tokens,
        "completion_tokens": step.output_tokens,
        "total_tokens": step.input_tokens + step.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": step.reasoning_tokens},
    }


def _logprobs(text: str) -> dict[str, Any]:
    """Every token at even odds, each with no rivals."""
    content = [
        {"token": piece, "logprob": -0.6931, "bytes": list(piece.encode()), "top_logprobs": []}
        for piece in tokens.split(text)
    ]
    return {"content": content, "refusal": None}
