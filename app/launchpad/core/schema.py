"""How a workflow is drawn: `WorkflowSchema` and its `NodeConfig`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from launchpad.core.nodes.base import Node


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """One node's place in the workflow.

    `connections` are the nodes that may come next: none ends the workflow, one is next, several
    need a router (`is_router=True`, or a `BaseRouter`). `concurrent_nodes` are what a
    `ConcurrentNode` runs at the same time.
    """

    node: type[Node]
    connections: Sequence[type[Node]] = ()
    is_router: bool = False
    description: str | None = None
    concurrent_nodes: Sequence[type[Node]] = ()


@dataclass(frozen=True, kw_only=True)
class WorkflowSchema:
    """A workflow: what it takes in (`event_schema`), where it starts, and its nodes.

    A node that is only named in `connections` ends the workflow; it needs no `NodeConfig`.
    """

    event_schema: type[BaseModel]
    start: type[Node]
    nodes: Sequence[NodeConfig] = field(default_factory=tuple)
    description: str | None = None
