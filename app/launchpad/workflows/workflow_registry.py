"""The shipped workflows by model id."""

from __future__ import annotations

from enum import Enum

from launchpad.workflows.examples.anthropic.workflow import AnthropicWorkflow
from launchpad.workflows.examples.chat.workflow import ChatWorkflow
from launchpad.workflows.examples.concurrent.workflow import ConcurrentWorkflow
from launchpad.workflows.examples.langchain.workflow import LangChainWorkflow
from launchpad.workflows.examples.routing.workflow import RoutingWorkflow
from launchpad.workflows.examples.streaming.workflow import ExampleStreamingWorkflow

__all__ = ["WorkflowRegistry"]


class WorkflowRegistry(Enum):
    """A member's lower-case name is the model id that serves its workflow."""

    STREAMING = ExampleStreamingWorkflow
    CHAT = ChatWorkflow
    ROUTING = RoutingWorkflow
    CONCURRENT = ConcurrentWorkflow
    ANTHROPIC = AnthropicWorkflow
    LANGCHAIN = LangChainWorkflow
