"""Chat models that say what a test gives them, and nodes and workflows of chains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.events import RunEvent, TextDelta
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

ASKED = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
}
USAGE = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}


class Said(BaseChatModel):
    """A chat model that says its chunks."""

    chunks: Sequence[Any] = ()
    asked: list[Any] = []  # noqa: RUF012 - pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "said"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        text = "".join(str(chunk.content) for chunk in self._each())
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _each(self) -> Iterator[AIMessageChunk]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield AIMessageChunk(chunk) if isinstance(chunk, str) else chunk.model_copy(deep=True)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.extend(messages)
        for chunk in self._each():
            yield ChatGenerationChunk(message=chunk)


def model(*chunks: Any, usage: dict[str, Any] | None = None, finish: str | None = None) -> Said:
    last = AIMessageChunk("", usage_metadata=usage)
    if finish is not None:
        last.response_metadata = {"finish_reason": finish}
    return Said(chunks=[*chunks, last])


def chain_node(make: Callable[[], Any], **members: Any) -> type[LangChainStreamingNode]:
    body = {"get_runnable": lambda self: make(), **members}
    return type("Chain", (LangChainStreamingNode,), body)


def flow(*nodes: type[Node]) -> Workflow:
    following = [*[[node] for node in nodes[1:]], []]
    configs = [NodeConfig(node=node, connections=to) for node, to in zip(nodes, following)]  # noqa: B905
    schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=nodes[0], nodes=configs)
    made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
    return made()


def events_of(make: Callable[[], Any], *, within: Any = None, **members: Any) -> list[RunEvent]:
    """The events of a run of one chain; `within` awaits their collection."""

    async def collect() -> list[RunEvent]:
        return [event async for event in flow(chain_node(make, **members)).run_stream_async(ASKED)]

    return asyncio.run(within(collect()) if within is not None else collect())


def words_of(make: Callable[[], Any], **members: Any) -> list[RunEvent]:
    """What the node says, without the run around it."""
    return events_of(make, **members)[2:-2]


def text(*pieces: str) -> list[TextDelta]:
    return [TextDelta("Chain", piece) for piece in pieces]


def call(index: int | None, args: str, id: str | None = None, name: str | None = None) -> Any:
    piece = tool_call_chunk(name=name, args=args, id=id, index=index)
    return AIMessageChunk("", tool_call_chunks=[piece])
