"""A user's own test, end to end: documents-style nodes, no key, a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

from launchpad.core.nodes.agent import AgentConfig, AgentNode, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.testing import Gate, ScriptedModel, open_stream, override_model, serve
from launchpad.testing.steps import Chunk, WaitFor
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

REQUEST = {"model": "two", "stream": True, "messages": [{"role": "user", "content": "Hi there"}]}


class First(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_provider=ModelProvider.ANTHROPIC, model_name="none")

    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        event: OpenAIChatSchema = task_context.event
        async with self.agent.run_stream(user_prompt=event.get_message()) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class Second(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_provider=ModelProvider.MISTRAL, model_name="none")


class TwoNodes(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema,
        start=First,
        nodes=[NodeConfig(node=First, connections=[Second]), NodeConfig(node=Second)],
    )


class Registry(Enum):
    TWO = TwoNodes


def test_every_agent_node_asks_the_model_that_stands_in() -> None:
    with override_model(ScriptedModel()) as model:
        TwoNodes().run(REQUEST)
    assert [prompt.user_text for prompt in model.prompts] == ["Hi there", "Hi there"]


def test_two_overrides_do_not_mix() -> None:
    for text in ("one", "two"):
        with override_model(ScriptedModel(text)) as model:
            TwoNodes().run(REQUEST)
        assert len(model.prompts) == 2


def test_a_served_workflow_streams_what_the_model_is_told() -> None:
    model, gate = ScriptedModel(), Gate()
    model.script(Chunk("one"), WaitFor(gate), Chunk("two"))
    with (
        override_model(model),
        serve(Registry) as server,
        open_stream(f"{server.base_url}/chat/completions", REQUEST) as stream,
    ):
        assert stream.status == 200
        while (event := stream.next_event()) is not None and '"one"' not in event.data:
            pass
        gate.wait_reached()
        gate.open()
        rest = stream.read_all()
    assert stream.ended == "complete"
    assert any('"two"' in event.data for event in rest)
    assert rest[-1].data == "[DONE]"
