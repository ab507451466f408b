"""`load_registry`: from what a person types after `launchpad serve` to Workflow classes.

A target is a module (`shop.flows`), an attribute of one (`shop.flows:WorkflowRegistry`), or the
path of a file (`flows.py`, `flows.py:AnswerWorkflow`). Without an attribute the module's registry
is taken (an Enum whose members are Workflow classes), else the Workflow classes defined in it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from types import ModuleType
from typing import Any, TypeGuard, cast

from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.workflows.catalog import DEFAULT_ID
from launchpad.workflows.model_ids import by_id, model_id
from launchpad.workflows.targets import import_place, split_target

__all__ = ["load_registry"]

Pairs = list[tuple[str, type[Workflow]]]


def load_registry(target: str | None) -> Mapping[str, type[Workflow]]:
    """The workflows of `target` by model id; those that are shipped where it is None.

    Raises `ConfigurationError`, which says what was found and what to do.
    """
    if target is None:
        target = "launchpad.workflows.workflow_registry:WorkflowRegistry"
    place, attribute = split_target(target)
    module = import_place(place)
    pairs = _search(module, place) if attribute is None else _named(module, place, attribute)
    return _by_id(pairs, target)


def _search(module: ModuleType, place: str) -> Pairs:
    """The module's own registry, else its own workflows, else a registry that it imports."""
    values = list(vars(module).values())
    registries = [value for value in values if _is_registry(value)]
    own = [registry for registry in registries if _is_defined_in(registry, module)]
    if own:
        return [pair for registry in own for pair in _pairs(registry)]
    classes = [value for value in values if _is_workflow(value) and _is_defined_in(value, module)]
    if classes:
        return [(model_id(workflow), workflow) for workflow in dict.fromkeys(classes)]
    if registries:
        return [pair for registry in registries for pair in _pairs(registry)]
    imported = [value.__name__ for value in values if _is_workflow(value)]
    found = (
        f"It imports {', '.join(imported)}; name one to serve it: {place}:{imported[0]}."
        if imported
        else "Define a class that derives from Workflow and sets workflow_schema."
    )
    raise ConfigurationError(
        f"{place} has no workflow registry (an Enum of Workflow classes) and defines no workflow. "
        f"{found}"
    )


def _named(module: ModuleType, place: str, attribute: str) -> Pairs:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            there = [name for name, held in vars(module).items() if _pairs(held)]
            near = difflib.get_close_matches(part, there if value is module else dir(value), 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            offer = f" It has {', '.join(there)}." if there else ""
            raise ConfigurationError(f"{place} has no {attribute!r}.{hint}{offer}")
        value = getattr(value, part)
    pairs = _pairs(value)
    if not pairs:
        raise ConfigurationError(
            f"{place}:{attribute} is {_described(value)}. Name a Workflow class, an Enum of them, "
            "or a mapping or list of them."
        )
    return pairs


def _pairs(value: object) -> Pairs:
    """Names and workflows of anything that can be served; nothing for anything else."""
    if isinstance(value, Enum):
        value = value.value
    named: list[tuple[str, Any]]
    if _is_workflow(value):
        return [(model_id(value), value)]
    if isinstance(value, type) and issubclass(value, Enum):
        named = [(name.lower(), member.value) for name, member in value.__members__.items()]
        _check_members(value)
    elif isinstance(value, Mapping):
        mapping = cast("Mapping[object, Any]", value)
        named = [(str(name), member) for name, member in mapping.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        members = cast("Iterable[Any]", value)
        named = [(model_id(one) if _is_workflow(one) else "", one) for one in members]
    else:
        return []
    return named if all(_is_workflow(workflow) for _, workflow in named) else []


def _check_members(registry: type[Enum]) -> None:
    """An Enum is a registry or it is none: what is half of one would be left out silently."""
    members = registry.__members__.items()
    wrong: list[tuple[str, Any]] = [
        (name, one.value) for name, one in members if not _is_workflow(one.value)
    ]
    if wrong and len(wrong) < len(members):
        name, value = wrong[0]
        derives = isinstance(value, type) and issubclass(value, Workflow)
        what = (
            f"{value.__name__}, which has no workflow_schema"
            if derives
            else _described(cast("object", value))
        )
        raise ConfigurationError(
            f"{registry.__name__}.{name} is {what}, beside Workflow classes. A registry's members "
            "are Workflow classes that set workflow_schema; take it out."
        )


def _is_workflow(value: object) -> TypeGuard[type[Workflow]]:
    if not (isinstance(value, type) and issubclass(value, Workflow)):
        return False
    return hasattr(value, "workflow_schema")  # a base class of one's own has none


def _is_registry(value: object) -> TypeGuard[type[Enum]]:
    return isinstance(value, type) and issubclass(value, Enum) and bool(_pairs(value))


def _is_defined_in(value: type, module: ModuleType) -> bool:
    """Whether it was written in this module, or in the package that this module is."""
    inside = hasattr(module, "__path__") and value.__module__.startswith(module.__name__ + ".")
    return value.__module__ == module.__name__ or inside


def _by_id(pairs: Pairs, target: str) -> dict[str, type[Workflow]]:
    for name, _ in pairs:
        if name == DEFAULT_ID:
            raise ConfigurationError(
                f"{target}: a workflow is named 'default', which stands for the default workflow. "
                "Name it otherwise, and set LAUNCHPAD_DEFAULT_WORKFLOW to that."
            )
    return by_id(pairs, target)


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"of type {type(value).__name__}"
