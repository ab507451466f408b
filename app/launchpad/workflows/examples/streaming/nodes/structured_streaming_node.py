"""The second node: an object, as JSON that grows."""

from collections.abc import AsyncIterator
from typing import Any

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.task import TaskContext
from launchpad.workflows.examples.streaming.schema import OpenAIChatSchema


class StructuredStreamingNode(AgentStreamingNode):
    """Answers the last message as an object."""

    class OutputType(AgentStreamingNode.OutputType):
        """A thought before the answer, and the answer."""

        thinking: str
        reply: str

    def get_agent_config(self) -> AgentConfig:
        """The configured default model, answering in `OutputType`."""
        return AgentConfig(output_type=self.OutputType)

    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        """Stream the object's JSON text."""
        event: OpenAIChatSchema = task_context.event
        async with self.agent.run_stream(user_prompt=event.get_message()) as result:
            async for chunk in self.stream_structured_deltas(result):
                yield chunk
