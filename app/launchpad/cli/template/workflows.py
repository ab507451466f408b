"""The workflows of this project. `launchpad serve workflows.py` serves them."""

from enum import Enum

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class AnswerNode(AgentStreamingNode):
    """Answers the conversation, word by word."""

    def get_agent_config(self) -> AgentConfig:
        """Without a model_provider it asks the default model: `--model`, or the local one."""
        return AgentConfig(instructions="You are a friendly assistant. Answer in one sentence.")


class AssistantWorkflow(Workflow):
    """One node; add more to `nodes`, and name who comes next in `connections`."""

    workflow_schema = WorkflowSchema(
        description="A friendly assistant",
        event_schema=OpenAIChatSchema,
        start=AnswerNode,
        nodes=[NodeConfig(node=AnswerNode, connections=[])],
    )


class WorkflowRegistry(Enum):
    """What is served. A member's lower-case name is the model id that clients ask for."""

    ASSISTANT = AssistantWorkflow
