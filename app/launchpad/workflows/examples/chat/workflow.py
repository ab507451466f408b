"""`ChatWorkflow`: one node, the whole conversation, every sampling parameter honoured."""

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class ChatNode(ModelStreamingNode):
    """Sends the conversation as it is; `ModelStreamingNode.process` does all of it."""

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
