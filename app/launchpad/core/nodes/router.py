"""Routers: which node comes next."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext


class RouterNode(ABC):
    """One rule of a router."""

    @property
    def node_name(self) -> str:
        """The rule's name in logs."""
        return type(self).__name__

    @abstractmethod
    def determine_next_node(self, task_context: TaskContext) -> Any:
        """The node to go to (a class or an instance), or None to let the next rule decide.

        May be a coroutine function.
        """


class BaseRouter(Node):
    """Asks its `routes` in order; the first that names a node wins, else `fallback`.

    Both may be set on the class or in `__init__`, as classes or instances.
    """

    routes: Sequence[RouterNode | type[RouterNode]] = ()
    fallback: Node | type[Node] | None = None

    def process(self, task_context: TaskContext) -> Any:
        """A router only chooses; override to prepare the choice."""
        return task_context

    def route(self, task_context: TaskContext) -> Any:
        """The next node: a class, an instance, or None to end the run. Awaited, if need be.

        Override to decide in one place, in a plain function or a coroutine function.
        """
        return self._ask_rules(task_context)

    async def _ask_rules(self, task_context: TaskContext) -> Any:
        for rule in self.routes:
            asked = rule() if isinstance(rule, type) else rule
            chosen = asked.determine_next_node(task_context)
            if inspect.isawaitable(chosen):
                chosen = await chosen
            if chosen is not None:
                return chosen
        return self.fallback
