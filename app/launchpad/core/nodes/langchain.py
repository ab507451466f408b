"""`LangChainStreamingNode`: any LangChain Runnable as a speaking node."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import ConfigurationError, NodeError
from launchpad.events import Delta, FinishReason, JsonDelta, ReasoningDelta, TextDelta, Usage

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}


_ROLES = {"user": "human", "assistant": "ai", "developer": "system"}


class LangChainStreamingNode(Node):
    """Streams what a Runnable says: a chat model, or a chain that ends in one or in a parser.

    `get_runnable` builds it, once for all runs of the class; `get_input` makes its input of the
    event. Message chunks become text and reasoning, str items text, dicts and models JSON.
    Needs the extra `launchpad[langchain]`.
    """

    _finish_reason: FinishReason | None = None
    _usage: Usage | None = None
    _called_model = False

    @abstractmethod
    def get_runnable(self) -> Runnable[Any, Any]:
        """The chain. Called once for the class, when the first run needs it."""

    def get_input(self, task_context: TaskContext) -> Any:
        """The chain's input: by default the conversation as (role, text) pairs."""
        event = task_context.event
        messages = getattr(event, "messages", None)
        if messages is None:
            raise NodeError(
                self.node_name, f"{type(event).__name__} has no messages; override get_input()."
            )
        return [_message(message) for message in messages]

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        """Stream the chain's answer."""
        self._called_model = True
        async for item in _runnable_of(type(self)).astream(self.get_input(task_context)):
            for event in self._events(item):
                yield event

    def _events(self, item: Any) -> list[Delta]:
        name = self.node_name
        if isinstance(item, str):
            return [TextDelta(name, item)] if item else []
        content: Any = getattr(item, "content", None)
        if content is None:
            return [_document(name, item)]
        self._note(item)
        events: list[Delta] = []
        extra: dict[str, Any] = getattr(item, "additional_kwargs", None) or {}
        reasoning = extra.get("reasoning_content")
        if reasoning:
            events.append(ReasoningDelta(name, str(reasoning)))
        blocks: list[Any] = [content] if isinstance(content, str) else content
        for block in blocks:
            text = block if isinstance(block, str) else block.get("text") or ""
            if text:
                events.append(TextDelta(name, text))
            elif not isinstance(block, str) and block.get("thinking"):
                events.append(ReasoningDelta(name, block["thinking"]))
        return events

    def _note(self, item: Any) -> None:
        metadata: dict[str, Any] = getattr(item, "response_metadata", None) or {}
        reason = metadata.get("finish_reason") or metadata.get("stop_reason")
        if reason:
            self._finish_reason = _REASONS.get(reason, "stop")
        counted = getattr(item, "usage_metadata", None)
        if counted:
            usage = Usage(counted["input_tokens"], counted["output_tokens"])
            self._usage = usage if self._usage is None else self._usage + usage

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, where the chain lets its messages through."""
        return self._finish_reason

    @property
    def called_model(self) -> bool:
        """Whether the chain was run."""
        return self._called_model

    @property
    def usage(self) -> Usage | None:
        """The model's tokens, where the chain lets its messages through."""
        return self._usage


@lru_cache(maxsize=256)
def _runnable_of(node_class: type[LangChainStreamingNode]) -> Runnable[Any, Any]:
    if importlib.util.find_spec("langchain_core") is None:
        raise ConfigurationError(
            f"{node_class.__name__} needs LangChain: pip install 'launchpad[langchain]'."
        )
    return node_class.instance().get_runnable()


def _message(message: Any) -> tuple[str, Any]:
    role: str = message.role
    return _ROLES.get(role, role), message.content


def _document(node: str, item: Any) -> Delta:
    import msgspec

    dump = getattr(item, "model_dump", None)
    return JsonDelta(node, msgspec.json.encode(dump() if dump else item).decode())
