"""The first node: plain text, token by token."""

from collections.abc import AsyncIterator
from typing import Any

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.task import TaskContext
from launchpad.workflows.examples.streaming.schema import OpenAIChatSchema


class TextStreamingNode(AgentStreamingNode):
    """Answers the last message in words."""

    def get_agent_config(self) -> AgentConfig:
        """The configured default model, answering in text."""
        return AgentConfig(output_type=str)

    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        """Stream the answer."""
        event: OpenAIChatSchema = task_context.event
        async with self.agent.run_stream(user_prompt=event.get_message()) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk
