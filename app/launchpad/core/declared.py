"""Checks one declaration by itself: a node class, a rule, a list. Errors name it and the remedy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, cast

from launchpad.core.nodes.base import Node, context_parameter
from launchpad.core.nodes.router import RouterNode
from launchpad.errors import DefinitionError

__all__ = ["check_node", "check_rule", "check_sequence", "named"]


_NODES = Node.__module__.rpartition(".")[0] + "."


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
    for method in ("get_agent_config", "get_runnable"):
        _check_plain_method(workflow, node, method)


def check_rule(workflow: str, router: str, rule: Any) -> None:
    """`rule` has to be a RouterNode that can be asked. Raises `DefinitionError`."""
    rule_class = cast("type[object]", rule if isinstance(rule, type) else type(rule))
    if not issubclass(rule_class, RouterNode):
        raise DefinitionError(
            f"{workflow}: {router}.routes holds {named(rule)}; derive it from RouterNode."
        )
    name = rule_class.__name__
    if inspect.isabstract(rule_class):
        raise DefinitionError(f"{workflow}: {name} does not define determine_next_node.")
    declared = inspect.getattr_static(rule_class, "determine_next_node")
    if inspect.isfunction(declared) and not _takes(declared, 2):
        raise DefinitionError(
            f"{workflow}: {name}.determine_next_node cannot be called with a task context; write "
            "determine_next_node(self, task_context)."
        )
    if rule is rule_class and not _takes(rule_class, 0):
        raise DefinitionError(
            f"{workflow}: {name}() needs arguments, so {router}.routes has to hold an instance; "
            f"write routes = [{name}(…), …]."
        )


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
    if inspect.isfunction(declared) and not _takes(declared, 2):
        raise DefinitionError(
            f"{workflow}: {node.__name__}.process cannot be called with a task context; write "
            "process(self, task_context)."
        )


def _check_plain_method(workflow: str, node: type[Node], name: str) -> None:
    """What a node says of its model or chain is asked of it outside of runs, too: without more."""
    if not any(name in vars(base) for base in node.__mro__ if base.__module__.startswith(_NODES)):
        # No kind of ours that asks: a method of the user's own.
        return
    declared: object = inspect.getattr_static(node, name)
    kind = type(declared)
    is_property = issubclass(kind, property | cached_property)
    remedy = f"write def {name}(self)"
    if is_property or not callable(getattr(node, name)):
        problem = f"is {kind.__name__}, not a method"
    elif inspect.iscoroutinefunction(declared):
        problem = "is async"
        remedy = f"write a plain def {name}(self)"
    elif not inspect.isfunction(declared) or _takes(declared, 1):
        return
    else:
        problem = "cannot be called with self alone"
    raise DefinitionError(f"{workflow}: {node.__name__}.{name} {problem}; {remedy}.")


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with so many arguments, as far as its own signature tells."""
    try:
        # What is called is the wrapper, whatever it wraps.
        inspect.signature(function, follow_wrapped=False).bind(*[None] * count)
    except TypeError:
        return False
    return True


def named(value: object) -> str:
    """The name of a class, or of a value's class."""
    return str(value.__name__ if isinstance(value, type) else type(value).__name__)
