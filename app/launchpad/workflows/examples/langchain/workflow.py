"""`LangChainWorkflow`: a LangChain chain, streamed as it speaks.

Served at `/langchain/stream` too. LangChain is imported with the first run, and its absence is
told then; nothing else needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.models.langchain import chat_model
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


class LangChainNode(LangChainStreamingNode):
    """A prompt and the configured default model."""

    speaks_json = False

    def get_runnable(self) -> Runnable[Any, Any]:
        """The chain: any Runnable will do."""
        from langchain_core.prompts import ChatPromptTemplate

        prompt = ChatPromptTemplate(
            [("system", "You are a helpful assistant."), ("placeholder", "{messages}")]
        )
        return prompt | chat_model()

    def get_input(self, task_context: TaskContext) -> Any:
        """What the prompt's places take."""
        return {"messages": self.conversation(task_context)}


class LangChainWorkflow(Workflow):
    """One node that is a chain."""

    workflow_schema = WorkflowSchema(
        description="A LangChain chain on the default model",
        event_schema=OpenAIChatSchema,
        start=LangChainNode,
        nodes=[NodeConfig(node=LangChainNode)],
    )
