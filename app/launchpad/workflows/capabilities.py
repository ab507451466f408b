"""What a workflow can do with a chat request, read off its nodes."""

from __future__ import annotations

import typing

from launchpad.core.nodes.agent import AgentHolder
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.parameters import Capabilities

__all__ = ["capabilities_of"]


def capabilities_of(workflow: type[Workflow]) -> Capabilities:
    """What every request to `workflow` may ask for; how many choices is the server's to say."""
    nodes = list(workflow.node_classes())
    asking = [node for node in nodes if issubclass(node, AgentStreamingNode | ModelStreamingNode)]
    takes_form = any(node.takes_client_form for node in asking)
    return Capabilities(
        sampling=bool(asking),
        client_tools=takes_form,
        response_format=takes_form,
        structured=any(_may_speak_json(node) for node in nodes),
    )


def _may_speak_json(node: type[Node]) -> bool:
    """Whether the node's output can be JSON. What cannot be told may be."""
    if issubclass(node, BaseRouter | ModelStreamingNode):
        # A plain chat model does where `response_format` asks for it, which is its own matter.
        return False
    if issubclass(node, ConcurrentNode) and node.process is ConcurrentNode.process:
        # Only the nodes that it runs speak, and they are asked themselves.
        return False
    if issubclass(node, AgentHolder):
        return node.instance().get_agent_config().output_type is not str
    return not _yields_only_str(node)


def _yields_only_str(node: type[Node]) -> bool:
    """`process` says by its annotation that it yields or returns text, and nothing else."""
    try:
        hint = typing.get_type_hints(node.process).get("return")
    except Exception:  # noqa: BLE001 - an annotation that cannot be resolved tells nothing
        return False
    return hint is str or (typing.get_args(hint)[:1] == (str,))
