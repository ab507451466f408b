"""Anthropic's messages, in their simplest form: text, thinking and tool use, streamed or not.

After https://docs.anthropic.com/en/api/messages-streaming. One choice only; a refusal is text
that ends with the stop reason `refusal`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from launchpad.testing.anthropic_request import read_messages_request
from launchpad.testing.dialect import ERROR_TYPES, encode, event_bytes
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

__all__ = ["AnthropicDialect", "error_body"]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def error_body(status: int, message: str, *, param: str | None = None) -> bytes:
    """Anthropic's error object for an HTTP status; `param` goes into the message."""
    text = message if param is None else f"{param}: {message}"
    return encode({"type": "error", "error": {"type": _error_type(status), "message": text}})


def _error_type(status: int) -> str:
    return ERROR_TYPES.get(status, "api_error")


class AnthropicDialect:
    """One messages request. Raises `BadPromptError` when made from a bad body."""

    def __init__(self, raw: bytes, number: int) -> None:
        request, self.prompt = read_messages_request(raw)
        self.stream = request.stream
        self._id = f"msg_scripted_{number}"
        self._begun = False
        self._index = -1
        self._kind: str | int | None = None
        self._stop: str | None = None
        self._tokens = 0
        self._refused = False
        self._usage: UsageStep | None = None
        self._blocks: list[dict[str, Any]] = []

    def event(self, step: Step) -> bytes:
        """The events of a content step, with those that open and close its block."""
        head = b"" if self._begun else self._message_start()
        match step:
            case Chunk(text=text) | Refusal(text=text):
                self._refused |= isinstance(step, Refusal)
                data = self._delta("text", {"type": "text_delta", "text": text})
            case Reasoning(text=text):
                data = self._delta("thinking", {"type": "thinking_delta", "thinking": text})
            case ToolDelta():
                data = self._tool_delta(step)
            case Finish(reason=reason):
                self._stop = "refusal" if self._refused else STOP_REASONS.get(reason, "end_turn")
                data = self._close() + self._message_delta()
            case UsageStep():
                self._usage = step
                data = self._message_delta() if self._stop is not None else b""
            case Done():
                data = self._message_delta() + event_bytes({"type": "message_stop"}, "message_stop")
            case _:
                data = b""
        return head + data

    def _tool_delta(self, step: ToolDelta) -> bytes:
        opening = self._open(step.index, _tool_block(step)) if step.name else b""
        if not step.arguments:
            return opening
        delta = {"type": "input_json_delta", "partial_json": step.arguments}
        return opening + self._delta(step.index, delta)

    def error_event(self, step: ErrorEvent) -> bytes:
        """Anthropic's `error` event."""
        error = {"type": "api_error", "message": step.message}
        return event_bytes({"type": "error", "error": error}, "error")

    def _message_delta(self) -> bytes:
        """Carries stop reason and usage together, so what comes first waits for the other."""
        step, self._usage = self._usage, None
        if step is None:
            return b""
        usage = {"input_tokens": step.input_tokens, "output_tokens": step.output_tokens}
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        payload = {"type": "message_delta", "delta": delta, "usage": usage}
        return event_bytes(payload, "message_delta")

    def _message_start(self) -> bytes:
        self._begun = True
        usage = {"input_tokens": self.prompt.count_tokens(), "output_tokens": 0}
        message = self._message([], None, usage)
        return event_bytes({"type": "message_start", "message": message}, "message_start")

    def _delta(self, kind: str | int, delta: dict[str, Any]) -> bytes:
        opening = b""
        if self._kind != kind:
            empty: dict[str, Any] = {"type": "text", "text": ""}
            if kind == "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
            opening = self._open(kind, empty)
        payload = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return opening + event_bytes(payload, "content_block_delta")

    def _open(self, kind: str | int, block: dict[str, Any]) -> bytes:
        closing = self._close()
        self._kind = kind
        self._index += 1
        payload = {"type": "content_block_start", "index": self._index, "content_block": block}
        return closing + event_bytes(payload, "content_block_start")

    def _close(self) -> bytes:
        if self._kind is None:
            return b""
        self._kind = None
        payload = {"type": "content_block_stop", "index": self._index}
        return event_bytes(payload, "content_block_stop")

    def _message(
        self, content: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self.prompt.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }

    def collect(self, step: Step) -> None:
        """Add a content step to its block."""
        match step:
            case Chunk(text=text) | Refusal(text=text):
                self._refused |= isinstance(step, Refusal)
                self._block("text", "text")["text"] += text
            case Reasoning(text=text):
                self._block("thinking", "thinking")["thinking"] += text
            case ToolDelta(arguments=arguments):
                if step.name:
                    self._blocks.append(_tool_block(step) | {"input": ""})
                self._blocks[-1]["input"] += arguments
            case Finish(reason=reason):
                self._stop = "refusal" if self._refused else STOP_REASONS.get(reason, "end_turn")
            case UsageStep():
                self._usage = step
            case _:
                pass

    def _block(self, kind: str, key: str) -> dict[str, Any]:
        if not self._blocks or self._blocks[-1]["type"] != kind:
            signature = {"signature": ""} if kind == "thinking" else {}
            self._blocks.append({"type": kind, key: "", **signature})
        return self._blocks[-1]

    def body(self) -> bytes:
        """The message of all that was collected; arguments cut short are left out."""
        for block in self._blocks:
            if block["type"] == "tool_use":
                try:
                    block["input"] = msgspec.json.decode(block["input"])
                except msgspec.DecodeError:
                    block["input"] = {}
        used = self._usage or UsageStep(self.prompt.count_tokens(), 0)
        usage = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        return encode(self._message(self._blocks, self._stop, usage))


def _tool_block(step: ToolDelta) -> dict[str, Any]:
    return {"type": "tool_use", "id": step.id, "name": step.name, "input": {}}
