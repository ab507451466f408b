"""Runs that need nothing of what pydantic-ai adds to every agent, and an agent without it.

pydantic-ai gives each agent two capabilities: one offers tools that are found by a search, one
brings messages that something within the run has queued. Each costs a call and a copy of the run's
context at some twenty places, and that they are two costs tasks: an eighth of a run. But an agent
without tools has nothing to search, and in a run that is given only data nobody holds its context,
to queue anything or to ask for its agent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.agent.abstract import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, CombinedCapability

from launchpad.models.config import is_model_type

__all__ = ["UNNEEDED", "is_lean_run", "lean_agent", "may_run_lean"]

UNNEEDED = frozenset({"ToolSearch", "PendingMessageDrainCapability"})
"""The capabilities' classes. What a later pydantic-ai adds besides is left: it may be needed."""

_DATA = frozenset(
    {
        "user_prompt",
        "message_history",
        "conversation_id",
        "run_id",
        "deps",
        "usage_limits",
        "usage",
        "cancellation_token",
        "timeout",
        "retries",
        "infer_name",
    }
)
"""A run's parameters that bring no code into it that is told of the run."""


def lean_agent(arguments: Mapping[str, Any]) -> Agent[Any, Any]:
    """An `Agent` of `arguments` without the capabilities that lean runs don't need."""
    return Agent(**arguments, capabilities=[kind() for kind in _absent_kinds()])


@cache
def _absent_kinds() -> Sequence[type[AbstractCapability[Any]]]:
    added = [type(one) for one in Agent().root_capability.capabilities]
    return [_absent(kind) for kind in added if kind.__name__ in UNNEEDED]


def _absent(kind: type[AbstractCapability[Any]]) -> type[AbstractCapability[Any]]:
    """What counts as a `kind`, so that no other is added, and is gone when the agent binds it."""

    def for_agent(_: AbstractCapability[Any], __: AbstractAgent[Any, Any]) -> Any:
        return CombinedCapability[Any]([])

    return type(f"No{kind.__name__}", (kind,), {"for_agent": for_agent})


def may_run_lean(arguments: Mapping[str, Any]) -> bool:
    """Whether an agent of `arguments`, else of text and numbers, holds no code told of a run."""
    return (
        not arguments["tools"]
        and _is_text(arguments["instructions"])
        and _is_data_type(arguments["output_type"])
    )


def is_lean_run(given: Mapping[str, Any]) -> bool:
    """Whether the parameters `given` to a run are only data. Any that is unknown here is more."""
    for name, value in given.items():
        if value is None or name in _DATA:
            continue
        check = _CHECKS.get(name)
        if check is None or not check(value):
            return False
    return True


def _is_data_type(wanted: Any) -> bool:
    """Whether pydantic alone makes the output: a function for it may ask for the run's context."""
    if isinstance(wanted, NativeOutput | PromptedOutput):
        return _is_data_type(cast("NativeOutput[Any]", wanted).outputs)
    return all(one is str or is_model_type(one) for one in _each(wanted))


def _is_text(instructions: Any) -> bool:
    return all(isinstance(one, str) for one in _each(instructions))


def _each(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value,)


def _is_no_function(value: Any) -> bool:
    return not callable(value)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "instructions": _is_text,
    "model_settings": _is_no_function,
    "metadata": _is_no_function,
    "output_type": _is_data_type,
}
