"""`RoutingWorkflow`: short questions get a short answer, long ones a thorough one."""

from collections.abc import Sequence

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.router import BaseRouter, RouterNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

LONG = 200
"""Characters from which a message counts as long."""


class ShortAnswerNode(AgentStreamingNode):
    """Answers in a sentence."""

    def get_agent_config(self) -> AgentConfig:
        """The default model, told to be brief."""
        return AgentConfig(instructions="Answer in one short sentence.")


class ThoroughAnswerNode(AgentStreamingNode):
    """Answers in full."""

    def get_agent_config(self) -> AgentConfig:
        """The default model, told to be thorough."""
        return AgentConfig(instructions="Answer thoroughly, step by step.")


class LongMessageRoute(RouterNode):
    """Long messages deserve long answers."""

    def determine_next_node(self, task_context: TaskContext) -> type[Node] | None:
        """`ThoroughAnswerNode` from `LONG` characters on."""
        event: OpenAIChatSchema = task_context.event
        return ThoroughAnswerNode if len(event.get_message()) >= LONG else None


class LengthRouter(BaseRouter):
    """Chooses by the length of the last message."""

    routes: Sequence[RouterNode | type[RouterNode]] = (LongMessageRoute,)
    fallback: Node | type[Node] | None = ShortAnswerNode


class RoutingWorkflow(Workflow):
    """A router before two streaming nodes."""

    workflow_schema = WorkflowSchema(
        description="A router choosing between a short and a thorough answer",
        event_schema=OpenAIChatSchema,
        start=LengthRouter,
        nodes=[
            NodeConfig(
                node=LengthRouter, connections=[ShortAnswerNode, ThoroughAnswerNode], is_router=True
            ),
        ],
    )
