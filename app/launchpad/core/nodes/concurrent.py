"""`ConcurrentNode`: several nodes at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError


class ConcurrentNode(Node):
    """Runs the `concurrent_nodes` of its `NodeConfig` at the same time.

    Their events interleave, each says its node. The first failure ends the others and the run.
    Override `process` to work before or after, and call `execute_nodes_concurrently` in it.
    """

    run_members: Callable[[], Awaitable[None]] | None = None

    async def process(self, task_context: TaskContext) -> Any:
        """Run the nodes and wait for all of them."""
        await self.execute_nodes_concurrently(task_context)
        return task_context

    async def execute_nodes_concurrently(self, task_context: TaskContext) -> None:
        """Run the nodes and wait for all of them; their outputs are in `task_context` then."""
        if self.run_members is None or task_context is not self.task_context:
            raise NodeError(self.node_name, "runs its nodes only within the run it belongs to.")
        await self.run_members()
