"""`TaskContext`: what one run knows, and how its nodes hand results on."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launchpad.errors import DefinitionError, OutputError

if TYPE_CHECKING:
    from launchpad.core.nodes.base import Node

_MISSING = object()

_ID_BYTES = 16
_ids: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.clear)


def new_run_id() -> str:
    """32 hexadecimal digits that nobody can guess.

    They are drawn for many runs at once: asking the kernel takes longer than all else in here.
    """
    while True:
        try:
            return _ids.pop()
        except IndexError:
            drawn = secrets.token_hex(256 * _ID_BYTES)
            width = 2 * _ID_BYTES
            _ids.extend(drawn[at : at + width] for at in range(0, len(drawn), width))


@dataclass(eq=False)
class TaskContext:
    """The state of one run.

    `event` is the validated request, `nodes` maps a node's class name to its output, `metadata`
    is free for the workflow's own use, `run_id` names the run in logs and traces. `request` is the
    chat request that `event` was made of by `from_chat`, None where they are one.
    """

    event: Any
    nodes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    should_stop: bool = False
    run_id: str = ""
    request: Any = None
    _lost: dict[str, str] = field(default_factory=dict, repr=False)

    def stop_workflow(self) -> None:
        """Let the present node finish, then end the run as complete."""
        self.should_stop = True

    def save_output(self, node_class: type[Node], output: Any) -> None:
        """Keep `output` as what `node_class` produced."""
        try:
            name = node_class.__name__
        except AttributeError:
            raise _no_class(node_class, "save_output", ", …") from None
        self.nodes[name] = output

    def get_output(self, node_class: type[Node], default: Any = None) -> Any:
        """What `node_class` produced, or `default` where it did not run.

        Raises `OutputError` where it ran and its output was lost, cut off by the token limit
        for instance, and `DefinitionError` for what is no class.
        """
        try:
            name = node_class.__name__
        except AttributeError:
            raise _no_class(node_class, "get_output") from None
        output = self.nodes.get(name, _MISSING)
        if output is not _MISSING:
            return output
        if name in self._lost:
            raise OutputError(name, self._lost[name])
        return default

    def knows(self, node_class: type[Node]) -> bool:
        """Whether `node_class` has an output, or a reason for having none."""
        return node_class.__name__ in self.nodes or node_class.__name__ in self._lost

    def lose_output(self, node_class: type[Node], reason: str) -> None:
        """Say why `node_class` has no output, for the node that will ask for it."""
        self._lost[node_class.__name__] = reason

    def update_node(self, node_name: str, **values: Any) -> None:
        """Merge `values` into the output kept under `node_name`, which is then a dict."""
        current = self.nodes.get(node_name)
        self.nodes[node_name] = {**current, **values} if isinstance(current, dict) else values


def _no_class(given: object, method: str, more: str = "") -> DefinitionError:
    name = given if isinstance(given, str) else type(given).__name__
    return DefinitionError(
        f"{method} takes the node's class; write {method}({name}{more}), without quotes or "
        "parentheses."
    )
