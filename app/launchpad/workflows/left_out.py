"""Which of a request's parameters no model of a workflow is asked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.models.config import AgentConfig
from launchpad.models.override import model_override
from launchpad.models.provider import known_model, model_settings_key
from launchpad.models.scope import RequestScope, merged_settings
from launchpad.settings import Settings
from launchpad.workflows.capabilities import agent_config_of

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings

__all__ = ["left_out_of"]

_MOST = 1024
_found: dict[tuple[object, ...], frozenset[str]] = {}


def left_out_of(
    workflow: type[Workflow], given: Mapping[str, Any], settings: Settings
) -> frozenset[str]:
    """The names of those settings in `given` that none of the workflow's models takes.

    A node whose model cannot be told yet counts as taking all. To be called on the loop.
    """
    if not given or model_override.get() is not None:
        return frozenset()
    # Beside what is given, only whether the model is to reason decides.
    effort = given.get("openai_reasoning_effort"), given.get("thinking")
    key = (workflow, frozenset(given), *effort, *model_settings_key(settings))
    found = _found.get(key)
    if found is None:
        found = _looked_up(workflow, given, settings)
        if found is None:
            return frozenset()
        if len(_found) >= _MOST:
            _found.clear()
        _found[key] = found
    return found


def _looked_up(
    workflow: type[Workflow], given: Mapping[str, Any], settings: Settings
) -> frozenset[str] | None:
    """None where a model is not known yet: it will be after its first run."""
    common = frozenset(given)
    for node in workflow.node_classes():
        if not issubclass(node, AgentStreamingNode | ModelStreamingNode):
            continue
        config = agent_config_of(node)
        if config is None:
            return frozenset()
        try:
            out = _left_out_by(config, given, settings)
        except ConfigurationError:
            # The node's run says what is wrong.
            return None
        if out is None:
            return None
        common &= out
        if not common:
            break
    return common


def _left_out_by(
    config: AgentConfig, given: Mapping[str, Any], settings: Settings
) -> frozenset[str] | None:
    model = known_model(config, settings)
    if model is None:
        return None
    from launchpad.models.left_out import left_out  # pydantic-ai is there, once a model is

    asked = RequestScope(settings=cast("ModelSettings", given))
    own = cast("ModelSettings | None", config.model_settings)
    settled = merged_settings(asked, own, client_form=False)
    return left_out(model, cast("Mapping[str, Any]", settled))
