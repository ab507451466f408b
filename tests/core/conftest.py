"""A scripted upstream, and configs of nodes that ask it. `usefixtures("upstream")` starts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.testing import ScriptedUpstream

_running: list[ScriptedUpstream] = []


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        _running.append(running)
        yield running
        _running.remove(running)


def upstream_now() -> ScriptedUpstream:
    """The one that the running test has started."""
    return _running[-1]


def config(**changes: Any) -> AgentConfig:
    """Of a node that asks it."""
    given: dict[str, Any] = {
        "model_provider": ModelProvider.OPENAI_COMPATIBLE,
        "model_name": "scripted",
        "base_url": upstream_now().base_url,
        "api_key": "any",
    }
    return AgentConfig(**{**given, **changes})
