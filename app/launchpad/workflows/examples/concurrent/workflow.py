"""`ConcurrentWorkflow`: two answers at once, for and against."""

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class ForNode(AgentStreamingNode):
    """Argues for it."""

    def get_agent_config(self) -> AgentConfig:
        """The default model, in favour."""
        return AgentConfig(instructions="In two sentences, argue in favour of what the user says.")


class AgainstNode(AgentStreamingNode):
    """Argues against it."""

    def get_agent_config(self) -> AgentConfig:
        """The default model, opposed."""
        return AgentConfig(instructions="In two sentences, argue against what the user says.")


class DebateNode(ConcurrentNode):
    """Runs both at once."""


class ConcurrentWorkflow(Workflow):
    """Two nodes at once; on a chat wire the first streams live and the second follows it."""

    workflow_schema = WorkflowSchema(
        description="Two streaming nodes at the same time, for and against",
        event_schema=OpenAIChatSchema,
        start=DebateNode,
        nodes=[NodeConfig(node=DebateNode, concurrent_nodes=[ForNode, AgainstNode])],
    )
