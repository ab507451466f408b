"""`AgentNode`: a node with a pydantic-ai agent."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import ConfigurationError, NodeError
from launchpad.models.agents.agent import build_agent
from launchpad.models.config import AgentConfig, ModelProvider, RetryPolicy, misspelt, said
from launchpad.models.provider import reads_upstream_itself

if TYPE_CHECKING:
    from pydantic_ai import Agent

__all__ = ["AgentConfig", "AgentHolder", "AgentNode", "ModelProvider", "RetryPolicy"]


class AgentHolder(Node):
    """What every node with an agent has: `get_agent_config` says which, `agent` is it."""

    takes_client_form: ClassVar[bool] = False
    """The client's `tools` and `response_format` reach the model (streaming nodes only)."""
    streams: ClassVar[bool] = False
    """The agent's answers are streamed, so the request's sampling parameters hold for them."""

    @abstractmethod
    def get_agent_config(self) -> AgentConfig:
        """The model, the output type and the instructions of this node's agent."""

    def prepare(self) -> bool:
        """Build the agent."""
        build_agent_of(self)
        return True

    def imports_sdk(self) -> bool:
        """Whether the model is read by another provider's SDK than the one that is there."""
        return not reads_upstream_itself(config_of(self))

    @cached_property
    def agent(self) -> Agent[Any, Any]:
        """The node's pydantic-ai agent, shared by all runs.

        Only one with tools of the run's own (`tools=[self.look_up]`) is built for each run.

        A run's own instructions and tools go to `run_stream(…, instructions=…, toolsets=…)` or
        `run`, what holds for all runs in `get_agent_config`: to register either on the agent is a
        `DefinitionError`. Raises `ConfigurationError` where the agent cannot be built.
        """
        return build_agent_of(self)


class AgentNode(AgentHolder):
    """Asks a model and keeps its answer; says nothing itself (`AgentStreamingNode` does).

    The agent is built once for all runs. `process` sends the conversation; override it to ask
    something else.
    """

    async def process(self, task_context: TaskContext) -> Any:
        """Ask the agent with the conversation of the event; its output becomes the node's."""
        prompt, history = conversation(self.node_name, task_context.event)
        result = await self.agent.run(prompt, message_history=history)
        self.save_output(result.output)
        return task_context


def config_of(node: Any) -> AgentConfig:
    """What `get_agent_config` of a node returns. Raises `ConfigurationError` for anything else."""
    try:
        config: object = node.get_agent_config()
    except TypeError as error:
        # A config of this node's, which could not be made: wrong in any run.
        if str(error).startswith("AgentConfig.__init__()"):
            raise ConfigurationError(misspelt(str(error))) from error
        raise
    if isinstance(config, AgentConfig):
        return config
    if inspect.iscoroutine(config):
        config.close()
        raise ConfigurationError(
            "get_agent_config is async; write a plain def get_agent_config(self) -> AgentConfig."
        )
    raise ConfigurationError(f"get_agent_config returned {said(config)}; return AgentConfig(…).")


def build_agent_of(node: AgentHolder) -> Agent[Any, Any]:
    """The agent that `node` declares; the same for every run on one loop, but for its own tools."""
    return build_agent(
        config_of(node),
        streaming=node.streams,
        name=node.node_name,
        allow_client_form=node.takes_client_form,
        holder=node,
    )


def conversation(node: str, event: Any) -> tuple[Any, Any]:
    """What an agent is asked by default: the event's last user message, and what came before.

    Raises `NodeError` for an event without `get_message()`.
    """
    prompt = getattr(event, "get_user_prompt", None) or getattr(event, "get_message", None)
    if prompt is None:
        raise NodeError(
            node,
            f"{type(event).__name__} has no get_message(); define it, or override process().",
        )
    history = getattr(event, "get_message_history", None)
    return prompt(), history() if history is not None else None
