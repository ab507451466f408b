"""What a workflow can do with a chat request, read off its nodes."""

from __future__ import annotations

from launchpad.core.form import takes_form, yields_only_text
from launchpad.core.nodes.agent import AgentHolder, config_of
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig, check_parts
from launchpad.models.provider import takes_tools
from launchpad.settings import Settings, get_settings
from launchpad.wire.openai_chat.parameters import Capabilities

__all__ = ["agent_config_of", "capabilities_of", "declared_config_of"]


def capabilities_of(workflow: type[Workflow], settings: Settings | None = None) -> Capabilities:
    """What a request to `workflow` may ask for; how many choices is the server's to say.

    The default model of `settings` is the one that nodes ask where they name none.
    """
    settings = settings or get_settings()
    nodes = list(workflow.node_classes())
    asking = [node for node in nodes if issubclass(node, AgentStreamingNode | ModelStreamingNode)]
    taking = [node for node in asking if takes_form(node)]
    return Capabilities(
        sampling=bool(asking),
        client_tools=any(_may_take_tools(node, settings) for node in taking),
        response_format=workflow.can_answer_in_form(),
        some_response_format=bool(taking),
        structured=any(_may_speak_json(node) for node in nodes),
    )


def agent_config_of(node: type[Node]) -> AgentConfig | None:
    """The config of a node that asks a model; None where it has none, or only a run can tell."""
    try:
        return declared_config_of(node)
    except ConfigurationError:
        # The start has said what is wrong with it, and so will its run.
        return None


def declared_config_of(node: type[Node]) -> AgentConfig | None:
    """As `agent_config_of`. Raises `ConfigurationError` for a config that is wrong in any run."""
    if not hasattr(node, "get_agent_config"):
        return None
    try:
        config = config_of(node.instance())
        check_parts(config)
    except ConfigurationError:
        raise
    except Exception:  # noqa: BLE001 - the user's code, which may read the run's event
        return None
    return config


def _may_take_tools(node: type[Node], settings: Settings) -> bool:
    config = agent_config_of(node)
    try:
        return config is None or takes_tools(config, settings)
    except ConfigurationError:
        # Its run says what is wrong with the model's name.
        return True


def _may_speak_json(node: type[Node]) -> bool:
    """Whether the node's output can be JSON. What cannot be told may be."""
    if node.speaks_json is not None:
        return node.speaks_json
    if issubclass(node, BaseRouter | ModelStreamingNode):
        # A plain chat model does where `response_format` asks for it, which is its own matter.
        return False
    if issubclass(node, ConcurrentNode) and node.process is ConcurrentNode.process:
        # Only the nodes that it runs speak, and they are asked themselves.
        return False
    if issubclass(node, AgentHolder):
        config = agent_config_of(node)
        return config is None or config.output_type is not str
    return not yields_only_text(node)
