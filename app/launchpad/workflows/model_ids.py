"""Which Workflow class goes by which model id: what a registry may be, and how it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, cast

from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError

__all__ = ["Registry", "by_id", "members", "model_id"]

Registry = type[Enum] | Mapping[str, type[Workflow]] | Iterable[type[Workflow]]
"""An Enum whose members are Workflow classes, a mapping by model id, or the classes alone."""

_TAKEN = (
    "Workflows are given as an Enum of Workflow classes, as a mapping from model ids to them, or "
    "as a list of them"
)


def members(registry: Registry) -> dict[str, type[Workflow]]:
    """The workflows of `registry` by model id, in its order.

    Raises `ConfigurationError` for anything else, and where two would have the same id.
    """
    pairs = _pairs(registry)
    for name, workflow in pairs:
        if not (isinstance(workflow, type) and issubclass(workflow, Workflow)):
            raise ConfigurationError(
                f"The registry's {name} is {_described(cast('object', workflow))}, not a Workflow "
                f"class. {_TAKEN}."
            )
        if not hasattr(workflow, "workflow_schema"):
            raise ConfigurationError(
                f"The registry's {name} is {workflow.__name__}, which has no workflow_schema."
            )
    return by_id(pairs)


def by_id(
    pairs: Iterable[tuple[str, type[Workflow]]], place: str = ""
) -> dict[str, type[Workflow]]:
    """`pairs` as a dict. Raises `ConfigurationError` where one id names two workflows.

    `place` is where they were found, for the message.
    """
    found: dict[str, type[Workflow]] = {}
    for name, workflow in pairs:
        other = found.setdefault(name, workflow)
        if other is not workflow:
            prefix = f"{place}: " if place else ""
            raise ConfigurationError(
                f"{prefix}{_where(other)} and {_where(workflow)} would both be the model "
                f"{name!r}. Rename one, or list them in an Enum (NAME = Workflow class)."
            )
    return found


def model_id(workflow: type[Workflow]) -> str:
    """The id of a workflow that has no registry: its class name in snake case, less `Workflow`.

    Capitals in a row are one word: `SQLAgentV2Workflow` is `sql_agent_v2`, `GPT4oWorkflow` `gpt4o`.
    """
    name = workflow.__name__.removesuffix("Workflow") or workflow.__name__
    words = "".join(
        "_" + letter.lower() if _begins_word(name, at) else letter.lower()
        for at, letter in enumerate(name)
    )
    return words.lstrip("_")


def _begins_word(name: str, at: int) -> bool:
    """A capital after something else, or the last of several, before a small letter."""
    after_capital = name[at - 1 : at].isupper()
    return name[at].isupper() and (not after_capital or name[at + 1 : at + 2].islower())


def _pairs(registry: object) -> list[tuple[str, Any]]:
    described = _described(registry)
    if isinstance(registry, type) and issubclass(registry, Enum):
        # `__members__` also has the aliases that equal values make of later members.
        return [(name.lower(), member.value) for name, member in registry.__members__.items()]
    if isinstance(registry, Mapping):
        mapping = cast("Mapping[object, Any]", registry)
        wrong = [name for name in mapping if not isinstance(name, str)]
        if wrong:
            raise ConfigurationError(
                f"{_TAKEN}; this mapping has the key {wrong[0]!r}, which is no str."
            )
        return [(name, one) for name, one in mapping.items() if isinstance(name, str)]
    if isinstance(registry, type) and issubclass(registry, Workflow):
        given = f"this is one class: write [{registry.__name__}]"
    elif isinstance(registry, str | bytes) or not isinstance(registry, Iterable):
        given = f"this is {described}"
    else:
        numbered = enumerate(cast("Iterable[object]", registry), 1)
        return [(_id_or_place(one, place), one) for place, one in numbered]
    raise ConfigurationError(f"{_TAKEN}; {given}.")


def _id_or_place(one: object, place: int) -> str:
    return model_id(one) if isinstance(one, type) else f"item {place}"


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Workflow):
        return f"an instance of {type(value).__name__}"
    return repr(value)


def _where(workflow: type[Workflow]) -> str:
    return f"{workflow.__module__}.{workflow.__name__}"
