"""Checks one declaration by itself: a node class, a list. Errors name it and the remedy."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

from launchpad.core.nodes.base import Node, context_parameter
from launchpad.errors import DefinitionError

__all__ = ["check_node", "check_sequence", "named"]


def check_node(workflow: str, where: str, node: Any) -> None:
    """`node` has to be a Node class that can run. Raises `DefinitionError`."""
    if not (isinstance(node, type) and issubclass(node, Node)):
        name = named(cast("object", node))
        remedy = f"; write {name}, not an instance" if isinstance(node, Node) else ""
        if isinstance(node, str):
            name, remedy = f"the str {node!r}", "; write the class itself, without quotes"
        raise DefinitionError(f"{workflow}: {where} is {name}, not a Node class{remedy}.")
    if inspect.isabstract(node):
        missing = ", ".join(sorted(node.__abstractmethods__))
        raise DefinitionError(f"{workflow}: {node.__name__} does not define {missing}.")
    _check_init(workflow, node)
    _check_process(workflow, node)


def check_sequence(workflow: str, where: str, given: object, remedy: str) -> None:
    """`given` has to be a list or tuple. Raises `DefinitionError`, with `remedy` to write."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        what = "None" if given is None else named(given)
        raise DefinitionError(f"{workflow}: {where} is {what}, not a list; write {remedy}.")


def _check_init(workflow: str, node: type[Node]) -> None:
    """A node is made for every run, from the task context alone."""
    place = context_parameter(node)
    given: dict[str, Any] = {place: None} if place else {}
    try:
        inspect.signature(node).bind(*([None] if place == "" else []), **given)
    except TypeError as error:
        raise DefinitionError(
            f"{workflow}: {node.__name__}.__init__ cannot be called with the task context alone "
            f"({error}); give its other parameters defaults, or make what they are in process()."
        ) from None


def _check_process(workflow: str, node: type[Node]) -> None:
    """`process` has to take the task context, as far as its own signature tells."""
    process: Any = node.process
    if not callable(process):
        raise DefinitionError(
            f"{workflow}: {node.__name__}.process is {named(process)}, not a method; write "
            "async def process(self, task_context)."
        )
    declared = inspect.getattr_static(node, "process")
    if not inspect.isfunction(declared):
        return
    try:
        # What is called is the wrapper, whatever it wraps.
        inspect.signature(declared, follow_wrapped=False).bind(None, None)
    except TypeError:
        raise DefinitionError(
            f"{workflow}: {node.__name__}.process cannot be called with a task context; write "
            "process(self, task_context)."
        ) from None


def named(value: object) -> str:
    """The name of a class, or of a value's class."""
    return str(value.__name__ if isinstance(value, type) else type(value).__name__)
