"""Which nodes give the answer in the form that a client asks for (`response_format`)."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any

from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.validate import Graph
from launchpad.errors import UnsupportedParameterError
from launchpad.models.scope import request_scope

__all__ = [
    "all_nodes",
    "can_answer_in_form",
    "check_answers_in_form",
    "takes_form",
    "wanted_form",
    "yields_only_text",
]


class _Said(Enum):
    """What has been said on one way through the graph."""

    NOTHING = auto()
    FORM = auto()
    """One answer, in the client's form."""
    MORE = auto()
    """Something else, alone or beside it: together that is no JSON."""


def takes_form(node: type[Node]) -> bool:
    """Whether the client's form reaches the node's model."""
    if issubclass(node, AgentStreamingNode | ModelStreamingNode):
        return bool(node.takes_client_form)
    return False


def speaks(node: type[Node]) -> bool:
    """Whether the node says something, as far as its class tells."""
    if issubclass(node, AgentStreamingNode | ModelStreamingNode | LangChainStreamingNode):
        return True
    process = node.process
    generates = inspect.isasyncgenfunction(process) or inspect.isgeneratorfunction(process)
    # One that does not say what it yields may tell of its progress alone, beside the answer.
    return generates and yields_only_text(node)


def yields_only_text(node: type[Node]) -> bool:
    """`process` says by its annotation that it yields or returns text, and nothing else."""
    try:
        hint = typing.get_type_hints(node.process).get("return")
    except Exception:  # noqa: BLE001 - an annotation that cannot be resolved tells nothing
        return False
    return hint is str or (typing.get_args(hint)[:1] == (str,))


def can_answer_in_form(graph: Graph, start: type[Node]) -> bool:
    """Whether there is a way from `start` on which one node speaks, in the client's form."""
    seen: set[tuple[type[Node], _Said]] = set()
    waiting = [(start, _Said.NOTHING)]
    while waiting:
        node, before = waiting.pop()
        if (node, before) in seen:
            continue
        seen.add((node, before))
        said = before
        for speaker in (node, *graph[node].concurrent_nodes):
            said = _after(speaker, said)
        connections = graph[node].connections
        if not connections and said is _Said.FORM:
            return True
        waiting += [(following, said) for following in connections]
    return False


def wanted_form() -> Mapping[str, Any] | None:
    """The schema that the run's client asks for, as its `response_format`."""
    scope = request_scope.get()
    wanted = scope.response_format if scope is not None else None
    return wanted if wanted is not None and wanted.get("type") == "json_schema" else None


def check_answers_in_form(graph: Graph, node: type[Node], ran: Iterable[type[Node]]) -> None:
    """Where a form is wanted: `node`, or its members, are about to speak; `ran` were before it.

    Raises `UnsupportedParameterError` where the client's schema reaches other nodes of the
    workflow, but none on this way, which a router has chosen: it would be a wrong answer.
    """
    members = (node, *graph[node].concurrent_nodes)
    if not any(map(speaks, members)) or any(map(takes_form, ran)):
        return
    if not any(map(takes_form, all_nodes(graph))):
        return
    ahead, waiting = set[type[Node]](), [node]
    while waiting:
        one = waiting.pop()
        if one not in ahead:
            ahead |= {one, *graph[one].concurrent_nodes}
            waiting += graph[one].connections
    if not any(map(takes_form, ahead)):
        raise UnsupportedParameterError(
            "Unsupported parameter: 'response_format'. What answers this request has an output "
            "format of its own.",
            param="response_format",
        )


def all_nodes(graph: Graph) -> list[type[Node]]:
    """Every node, those that run beside each other included."""
    members = [member for config in graph.values() for member in config.concurrent_nodes]
    return list(dict.fromkeys([*graph, *members]))


def _after(node: type[Node], said: _Said) -> _Said:
    if not speaks(node):
        return said
    return _Said.FORM if takes_form(node) and said is _Said.NOTHING else _Said.MORE
