"""Workflows whose models others read: Anthropic's SDK by way of pydantic-ai, and LangChain."""

from __future__ import annotations

from typing import Any

from launchpad.core.nodes.agent import AgentConfig, AgentNode, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.workflow import Workflow
from launchpad.models.langchain import chat_model

from .flows import Watched, chain

CLAUDE = AgentConfig(model_provider=ModelProvider.ANTHROPIC, model_name="claude")


class Claude(Watched, AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return CLAUDE


class WholeClaude(Watched, AgentNode):
    """Its answer is not streamed."""

    def get_agent_config(self) -> AgentConfig:
        return CLAUDE


class Chain(Watched, LangChainStreamingNode):
    def get_runnable(self) -> Any:
        return chat_model()


OTHER_READERS: dict[str, type[Workflow]] = {
    "claude": chain(Claude),
    "whole": chain(WholeClaude),
    "chain": chain(Chain),
}
