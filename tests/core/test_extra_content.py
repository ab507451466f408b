"""What a provider puts beside a tool call (`extra_content`) and wants back with it, unchanged.

Gemini 3 does, behind its OpenAI-compatible endpoint, and refuses to go on with a call without it:
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.core.test_relay import relayed
from tests.models.upstream import DONE, STOP, Call, Upstream, chunk, event, text, upstream

from launchpad.api.app import create_app
from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import Delta, RunFailed, ToolCallDelta
from launchpad.settings import Settings
from launchpad.testing import serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "Look."}


def fragment(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": "look"} if "id" in more else {})}
    return {"index": index, "type": "function", "function": function, **more}


ONE_CHUNK = [[fragment(0, "{}", id="a", extra_content=SIGNED), fragment(1, "{}", id="b")]]
LATER = [[fragment(0, "{", id="a")], [fragment(0, "}", extra_content=SIGNED)]]
LATER += [[fragment(1, "{}", id="b")]]
BEHIND = [[fragment(0, "{}", id="a"), fragment(1, "{}", id="b")]]
BEHIND += [[{"index": 0, "extra_content": SIGNED}]]


def calling(fragments: list[list[dict[str, Any]]]) -> Any:
    """Calls tools until it has a result, then answers."""

    async def script(call: Call) -> None:
        if any(message["role"] == "tool" for message in call.body["messages"]):
            await call.stream(*text("seen"), STOP, DONE)
            return
        chunks = [event(chunk({"tool_calls": said})) for said in fragments]
        await call.stream(*chunks, event(chunk({}, "tool_calls")), DONE)

    return script


def flow(node_class: type[Node]) -> type[Workflow]:
    class Flow(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema, start=node_class, nodes=[NodeConfig(node=node_class)]
        )

    return Flow


@asynccontextmanager
async def serving(
    server: Upstream, provider: ModelProvider, model: str
) -> AsyncIterator[AsyncOpenAI]:
    class Ask(ModelStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            return AgentConfig(
                model_provider=provider, model_name=model, base_url=server.url, api_key="key"
            )

    with serve(create_app([flow(Ask)], Settings(_env_file=None))) as running:
        async with AsyncOpenAI(base_url=running.base_url, api_key="any") as client:
            yield client


async def answer(client: AsyncOpenAI, messages: list[Any], *, stream: bool) -> dict[str, Any]:
    """The message as a client keeps it for its next turn."""
    asked: dict[str, Any] = {"model": "flow", "messages": messages, "tools": [TOOL]}
    if stream:
        async with client.chat.completions.stream(**asked) as events:
            completion: Any = await events.get_final_completion()
    else:
        completion = await client.chat.completions.create(**asked)
    return completion.choices[0].message.to_dict()  # type: ignore[no-any-return]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fragments", [ONE_CHUNK, LATER, BEHIND], ids=["at once", "later", "last"])
@pytest.mark.parametrize(
    ("provider", "model", "back"),
    [
        (ModelProvider.OPENAI_COMPATIBLE, "gemini-3-pro", True),
        (ModelProvider.OLLAMA, "some", True),
        (ModelProvider.OPENAI, "gpt-5.1", False),
    ],
)
def test_it_reaches_the_client_and_comes_back(
    stream: bool, fragments: Any, provider: ModelProvider, model: str, back: bool
) -> None:
    """Not to a model of OpenAI's, whose server refuses what it does not know."""

    async def main() -> None:
        async with (
            asyncio.timeout(30),
            upstream(calling(fragments)) as server,
            serving(server, provider, model) as client,
        ):
            message = await answer(client, [QUESTION], stream=stream)
            first, second = message["tool_calls"]
            assert first["extra_content"] == SIGNED
            assert "extra_content" not in second
            assert (first["function"]["arguments"], second["function"]["arguments"]) == ("{}", "{}")
            results = [
                {"role": "tool", "tool_call_id": one["id"], "content": "here"}
                for one in message["tool_calls"]
            ]
            again = await answer(client, [QUESTION, message, *results], stream=stream)
            assert again["content"] == "seen"
            sent = server.calls[-1].body["messages"][1]["tool_calls"]
        assert [one.get("extra_content") for one in sent] == [SIGNED if back else None, None]
        assert [one["id"] for one in sent] == ["a", "b"]

    asyncio.run(main())


@pytest.mark.parametrize("fragments", [ONE_CHUNK, LATER, BEHIND], ids=["at once", "later", "last"])
def test_an_agent_sends_it_back_with_its_own_tool_s_result(fragments: Any) -> None:
    def look() -> str:
        return "here"

    async def main() -> None:
        async with asyncio.timeout(30), upstream(calling(fragments)) as server:

            class Ask(AgentStreamingNode):
                def get_agent_config(self) -> AgentConfig:
                    return AgentConfig(
                        model_provider=ModelProvider.OPENAI_COMPATIBLE,
                        model_name="gemini-3-pro",
                        base_url=server.url,
                        api_key="key",
                        tools=[look],
                    )

                async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                    async for one in self.stream_agent(task_context.event.get_message()):
                        yield one

            said = [one async for one in flow(Ask)().run_stream_async({"messages": [QUESTION]})]
            assert not [one for one in said if isinstance(one, ToolCallDelta)]
            sent = server.calls[-1].body["messages"][1]["tool_calls"]
        assert [one.get("extra_content") for one in sent] == [SIGNED, None]

    asyncio.run(main())


def test_a_relayed_chunk_has_it_too() -> None:
    call = fragment(0, "{}", id="a", extra_content=SIGNED)
    said: list[Delta] = [
        one
        for one in relayed([chunk({"tool_calls": [call]}), chunk({}, "tool_calls")])
        if isinstance(one, ToolCallDelta)
    ]
    assert said == [ToolCallDelta("Relay", 0, "{}", "a", "look", SIGNED)]


@pytest.mark.parametrize("odd", ["text", ["list"], {}, None, 1])
def test_what_is_no_object_is_left_out(odd: Any) -> None:
    call = fragment(0, "{}", id="a", extra_content=odd)
    said = [
        one for one in relayed([chunk({"tool_calls": [call]})]) if isinstance(one, ToolCallDelta)
    ]
    assert said == [ToolCallDelta("Relay", 0, "{}", "a", "look")]


def test_what_is_no_json_names_the_node() -> None:
    last = relayed([chunk({"tool_calls": [fragment(0, "{}", id="a", extra_content={"a": 1j})]})])[
        -1
    ]
    assert isinstance(last, RunFailed)
    assert "Relay" in last.message
