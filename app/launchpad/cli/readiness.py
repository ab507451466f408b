"""Which models the workflows will ask, and what is missing for that, before the first request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module

from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.provider import check_config, resolve
from launchpad.settings import Settings
from launchpad.workflows.capabilities import agent_config_of, declared_config_of
from launchpad.workflows.catalog import ServedWorkflow

__all__ = ["Readiness", "look_at", "preload"]

_NEEDED = (
    "encodings.idna",
    "launchpad.models.direct",
    "launchpad.models.local",
    "launchpad.models.agents.node_agent",
    "launchpad.models.openai_compatible.models",
    "launchpad.wire.openai_chat.client_form",
    "launchpad.wire.openai_chat.history",
)
"""Modules that a run with a model imports when it comes to it."""


@dataclass
class Readiness:
    """What the start can know. `problems` is by model id, one line each.

    `default_problem` is what keeps the default model (`--model`) from being asked, where a
    workflow asks it.
    """

    asks_local_model: bool = False
    default_problem: str | None = None
    problems: dict[str, str] = field(default_factory=dict[str, str])


def look_at(served: Iterable[ServedWorkflow], settings: Settings) -> Readiness:
    """Ask every agent node for its config and check that its model can be reached.

    A node whose config needs a run to be known is left to its first run.
    """
    found = Readiness()
    for one in served:
        for node in one.workflow.node_classes():
            try:
                config = declared_config_of(node)
            except ConfigurationError as error:
                found.problems.setdefault(one.id, f"{node.__name__}: {error}")
                continue
            if config is not None:
                _look_at_model(config, one.id, found, settings)
    return found


def _look_at_model(
    config: AgentConfig, model_id: str, found: Readiness, settings: Settings
) -> None:
    try:
        provider = resolve(config, settings).model_provider
        found.asks_local_model |= provider is ModelProvider.LOCAL
        check_config(config, settings)
    except ConfigurationError as error:
        found.problems.setdefault(model_id, str(error))
        if config.model_provider is None:
            found.default_problem = str(error)


def preload(workflows: Iterable[type[Workflow]]) -> None:
    """Import what agents need when they are first asked, so that no request waits for it."""
    if any(True for workflow in workflows for _ in _configs(workflow)):
        for name in _NEEDED:
            import_module(name)


def _configs(workflow: type[Workflow]) -> Iterator[AgentConfig]:
    for node in workflow.node_classes():
        config = agent_config_of(node)
        if config is not None:
            yield config
