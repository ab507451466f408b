"""`Words`: the items of a LangChain stream as events.

    str                            text
    a message of the model         text, reasoning, refusal, tool calls
    (message, metadata)            the same, without tool calls: LangGraph's `messages` mode, in
                                   which the graph runs the tools
    any other message              text; a tool's result is not shown
    dict, list, model, number …    a JSON document

Items that follow each other add up, and where they don't, the last one wins: LangChain's own rule
for a stream's whole (`RunnableParallel`'s dicts add up; a JSON parser's replace each other).

Imports LangChain, so it is imported where a chain runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pydantic_core
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolCallChunk,
    ToolMessage,
)
from langchain_core.runnables import AddableDict
from pydantic import BaseModel

from launchpad.core.nodes.langchain_calls import reason_of, usage_of
from launchpad.core.relay import plain
from launchpad.errors import NodeError
from launchpad.events import (
    Delta,
    FinishReason,
    JsonSnapshot,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)

__all__ = ["Words"]


class Words:
    """One stream's items in order, of the node called `node`."""

    def __init__(self, node: str) -> None:
        self.from_model = False
        """Whether a model's message was among them."""
        self.finish_reason: FinishReason | None = None
        self.usage: Usage | None = None
        self._node = node
        self._whole: Any = None
        self._calls: dict[object, tuple[int, str | None]] = {}
        self._shown = 0

    @property
    def model(self) -> BaseModel | None:
        """The pydantic model that was said last, where that ends the stream: a parser's result."""
        return self._whole if isinstance(self._whole, BaseModel) else None

    @property
    def shows_calls(self) -> bool:
        """Whether a tool call was among them."""
        return self._shown > 0

    def said(self, item: Any) -> Iterator[Delta]:
        """What `item` adds. Raises `NodeError` for an object that is not JSON."""
        match item:
            case str():
                return self._text(item)
            case BaseMessage():
                return self._message(item, calls=True)
            case (BaseMessage() as message, dict()):
                return self._message(message, calls=False)
            case _:
                return self._document(item)

    def _text(self, text: str) -> Iterator[Delta]:
        if text:
            # A parser gives a subclass of str.
            yield TextDelta(self._node, plain(text))

    def _message(self, message: BaseMessage, *, calls: bool) -> Iterator[Delta]:
        if isinstance(message, ToolMessage):
            return
        if isinstance(message, AIMessage):
            self._note(message)
        extra: dict[str, Any] = message.additional_kwargs
        if reasoning := extra.get("reasoning_content"):
            yield ReasoningDelta(self._node, str(reasoning))
        content = cast("str | list[str | dict[str, Any]]", message.content)
        for block in [content] if isinstance(content, str) else content:
            yield from self._text(block) if isinstance(block, str) else self._block(block)
        if refusal := extra.get("refusal"):
            yield RefusalDelta(self._node, str(refusal))
        if calls and isinstance(message, AIMessage):
            yield from self._tool_calls(message)

    def _block(self, block: dict[str, Any]) -> Iterator[Delta]:
        """A part of a message's content, in a provider's terms or LangChain's own."""
        kind = block.get("type")
        if kind == "refusal":
            yield RefusalDelta(self._node, str(block.get("refusal") or ""))
        elif kind in {"thinking", "reasoning"}:
            thoughts = block.get("thinking") or block.get("reasoning")
            if not thoughts:
                summary: list[dict[str, Any]] = block.get("summary") or []
                thoughts = "".join(str(part.get("text") or "") for part in summary)
            if thoughts:
                yield ReasoningDelta(self._node, str(thoughts))
        elif isinstance(block.get("text"), str):
            yield from self._text(block["text"])

    def _tool_calls(self, message: AIMessage) -> Iterator[Delta]:
        if not isinstance(message, AIMessageChunk):
            for call in message.tool_calls:
                arguments = pydantic_core.to_json(call["args"]).decode()
                yield self._begin(arguments, call["id"], call["name"])
            return
        for piece in message.tool_call_chunks:
            yield self._piece(message.id, piece)

    def _piece(self, message_id: str | None, piece: ToolCallChunk) -> ToolCallDelta:
        # A provider's index may begin anew with each message, or be missing; an id of its own
        # begins a call.
        key = (message_id, piece.get("index"))
        index, call_id = self._calls.get(key, (-1, None))
        given = piece.get("id") or None
        arguments = piece.get("args") or ""
        if index >= 0 and given in {None, call_id}:
            return ToolCallDelta(self._node, index, arguments)
        self._calls[key] = (self._shown, given)
        return self._begin(arguments, given, piece.get("name") or None)

    def _begin(self, arguments: str, call_id: str | None, name: str | None) -> ToolCallDelta:
        self._shown += 1
        return ToolCallDelta(self._node, self._shown - 1, arguments, call_id, name)

    def _note(self, message: AIMessage) -> None:
        self.from_model = True
        self.finish_reason = reason_of(message) or self.finish_reason
        if message.usage_metadata:
            usage = usage_of(message.usage_metadata)
            self.usage = usage if self.usage is None else self.usage + usage

    def _document(self, item: Any) -> Iterator[Delta]:
        if item is None:
            return
        whole = self._whole
        if isinstance(whole, AddableDict) and isinstance(item, AddableDict):
            item = whole + item
        self._whole = item
        try:
            text = pydantic_core.to_json(item).decode()
        except pydantic_core.PydanticSerializationError as error:
            raise NodeError(
                self._node, f"the chain yielded {type(item).__name__}, which is not JSON: {error}"
            ) from error
        yield JsonSnapshot(self._node, text)
