"""`AnthropicWorkflow`: an agent on Anthropic's API, served at `/anthropic/stream` too.

Needs the extra `anthropic` and `ANTHROPIC_API_KEY`; without them this workflow answers what is
missing, and all others work. `LAUNCHPAD_ANTHROPIC_MODEL` names the model; `local` is the one
inside this machine, which speaks Anthropic's API too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.models import local
from launchpad.settings import get_settings
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

LIMITS = {"max_tokens": 500}
"""Where the request does not say otherwise; document 002's."""


class AnthropicNode(AgentStreamingNode):
    """Sends the conversation as it is."""

    _here: local.LocalEndpoint | None = None

    def get_agent_config(self) -> AgentConfig:
        """A Claude model, or what stands in for it."""
        name = get_settings().anthropic_model
        if name == "local":
            return self._local_config()
        return AgentConfig(
            model_provider=ModelProvider.ANTHROPIC, model_name=name, model_settings=LIMITS
        )

    def _local_config(self) -> AgentConfig:
        if self._here is None:
            # Outside a run: what has to be there for one.
            return AgentConfig(model_provider=ModelProvider.LOCAL)
        return AgentConfig(
            model_provider=ModelProvider.ANTHROPIC,
            model_name=self._here.model_name,
            base_url=self._here.base_url.removesuffix("/v1"),
            api_key=self._here.api_key,
            model_settings=LIMITS,
        )

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        """Stream the agent's answer."""
        if get_settings().anthropic_model == "local":
            self._here = await asyncio.to_thread(local.endpoint)
        async for chunk in super().process(task_context):
            yield chunk


class AnthropicWorkflow(Workflow):
    """One agent of Anthropic's."""

    workflow_schema = WorkflowSchema(
        description="A Claude model, over Anthropic's API",
        event_schema=OpenAIChatSchema,
        start=AnthropicNode,
        nodes=[NodeConfig(node=AnthropicNode)],
    )
