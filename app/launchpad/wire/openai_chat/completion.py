"""`ChatCompletionBuilder`: a run's events as the one JSON body of `stream: false`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, cast

from launchpad.events import (
    FinishReason,
    JsonDelta,
    NodeFinished,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
    total_usage,
)
from launchpad.wire.base import Failure
from launchpad.wire.openai_chat.calls import CallIndex, NumberedCall
from launchpad.wire.openai_chat.choice import FIELDS
from launchpad.wire.openai_chat.chunks import completion_id, to_json, usage_object
from launchpad.wire.openai_chat.errors import failure
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.wire.order import HOLD_LIMIT, Order

__all__ = ["ChatCompletionBuilder"]


class ChatCompletionBuilder:
    """Collects one run, or `choices` runs of one request, into a chat completion.

    The message is what a client gets that accumulates the stream of the same events. Arguments
    left out are found as `OpenAIChatEncoder` finds them.
    """

    def __init__(
        self,
        request: OpenAIChatSchema | None = None,
        *,
        run_id: str | None = None,
        created: int | None = None,
        choices: int = 1,
        hold_limit: int = HOLD_LIMIT,
    ) -> None:
        self.failed: RunFailed | None = None
        """The failure that ended the first failing run; `failure` says what to answer."""
        self._request = request
        self._run_id = run_id
        self._created = created
        self._choices = {index: _Message(hold_limit) for index in range(choices)}

    def add(self, events: Sequence[RunEvent], choice: int = 0) -> None:
        """Take more of the run behind `choice`. Raises `OutputError` as the encoder does."""
        message = self._choices[choice]
        for event in events:
            if isinstance(event, RunStarted):
                self._run_id = self._run_id or event.run_id
                if self._request is None and isinstance(event.request, OpenAIChatSchema):
                    self._request = event.request
            elif isinstance(event, RunFailed):
                self.failed = self.failed or event
            message.add(event)

    @property
    def finished(self) -> bool:
        """Whether every run has come to its end without failing."""
        return self.failed is None and all(
            message.end is not None for message in self._choices.values()
        )

    def body(self) -> bytes:
        """The chat completion as JSON text. Raises `ValueError` before `finished`."""
        if not self.finished:
            raise ValueError("the run has not finished")
        return to_json(self.completion())

    def completion(self) -> dict[str, Any]:
        """The chat completion of what has been added, as a dict in OpenAI's key order."""
        run_id = self._run_id = self._run_id or uuid.uuid4().hex
        nodes = [node for message in self._choices.values() for node in message.nodes]
        usage = total_usage([message.usage for message in self._choices.values()])
        return {
            "id": completion_id(run_id),
            "object": "chat.completion",
            "created": int(time.time()) if self._created is None else self._created,
            "model": "default" if self._request is None else self._request.model,
            "choices": [
                message.choice(index, CallIndex(run_id, index))
                for index, message in self._choices.items()
            ],
            **({} if usage is None else {"usage": usage_object(usage)}),
            "launchpad": {"nodes": list(dict.fromkeys(nodes))},
        }

    def failure(self, event: RunFailed) -> Failure:
        """OpenAI's error object with the status that `event` deserves."""
        return failure(event)


class _Message:
    """One choice's message, as far as it has been said."""

    def __init__(self, hold_limit: int) -> None:
        self.nodes: dict[str, None] = {}
        self.end: RunFinished | None = None
        self._order = Order(hold_limit=hold_limit)
        self._words: dict[str, list[str]] = {}
        self._calls: list[ToolCallDelta] = []
        self._finish_reason: FinishReason | None = None

    @property
    def usage(self) -> Usage | None:
        return None if self.end is None else self.end.usage

    def add(self, event: RunEvent) -> None:
        order, said = self._order, cast("Any", event)
        if event.__class__ in order.opened and said.node == order.floor:
            # The way of nearly every token: its node and its field are known.
            self._words[FIELDS[event.__class__]].append(said.text)
            return
        if self.end is not None:
            return
        for told in order.push(event):
            if isinstance(told, TextDelta | JsonDelta | ReasoningDelta | RefusalDelta):
                self._words.setdefault(FIELDS[type(told)], []).append(told.text)
                self.nodes[told.node] = None
            elif isinstance(told, ToolCallDelta):
                self._calls.append(told)
                self.nodes[told.node] = None
            elif isinstance(told, NodeFinished):
                self._finish_reason = told.finish_reason or self._finish_reason
            elif isinstance(told, RunFinished):
                self.end = told

    def choice(self, index: int, numbering: CallIndex) -> dict[str, Any]:
        words = {field: "".join(pieces) for field, pieces in self._words.items()}
        message: dict[str, Any] = {
            "role": "assistant",
            "content": words.get("content", ""),
            "refusal": words.get("refusal"),
        }
        if "reasoning_content" in words:
            message["reasoning_content"] = words["reasoning_content"]
        if self._calls:
            message["tool_calls"] = _join_calls(self._calls, numbering)
        reason = self._finish_reason or (self.end.finish_reason if self.end is not None else None)
        reason = numbering.ending(reason)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _join_calls(pieces: Sequence[ToolCallDelta], numbering: CallIndex) -> list[dict[str, Any]]:
    heads: list[NumberedCall] = []
    arguments: list[list[str]] = []
    extras: list[dict[str, Any]] = []
    for piece in pieces:
        call = numbering.number(piece)
        if call.position == len(heads):
            heads.append(call)
            arguments.append([])
            extras.append({})
        arguments[call.position].append(call.arguments)
        if piece.extra_content:
            extras[call.position]["extra_content"] = piece.extra_content
    return [
        {
            "id": head.id,
            "type": "function",
            "function": {"name": head.name, "arguments": "".join(texts)},
            **extra,
        }
        for head, texts, extra in zip(heads, arguments, extras, strict=True)
    ]
