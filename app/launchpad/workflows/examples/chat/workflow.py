"""`ChatWorkflow`: one node, the whole conversation, every sampling parameter honoured."""

from typing import ClassVar

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class ChatNode(AgentStreamingNode):
    """Sends the conversation as it is; `AgentStreamingNode.process` does all of it."""

    takes_client_form: ClassVar[bool] = True

    def get_agent_config(self) -> AgentConfig:
        """The configured default model."""
        return AgentConfig()


class ChatWorkflow(Workflow):
    """A plain chat model."""

    workflow_schema = WorkflowSchema(
        description="The default model, with the whole conversation",
        event_schema=OpenAIChatSchema,
        start=ChatNode,
        nodes=[NodeConfig(node=ChatNode)],
    )
