"""Builds, before the first request, what the served workflows' nodes need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from launchpad.core.node_life import kind_of
from launchpad.core.nodes.base import Node
from launchpad.errors import ConfigurationError, MissingConfigurationError
from launchpad.models.warm_up import exercise_pydantic_ai
from launchpad.workflows.capabilities import declared_config_of
from launchpad.workflows.catalog import ServedWorkflow

__all__ = ["warm_up"]

logger = logging.getLogger("launchpad.workflows")


async def warm_up(served: Iterable[ServedWorkflow]) -> asyncio.Task[None] | None:
    """Prepare every node on the running loop.

    Nodes whose provider's SDK takes seconds to import are prepared by the task that is returned,
    its imports in a thread, so that neither the start nor a request waits for them; cancel it to
    stop. A node that cannot be prepared, for want of a key for instance, says so at its first run;
    one whose config is wrong is warned of, too.
    """
    classes = dict.fromkeys(n for one in served for n in one.workflow.node_classes())
    nodes = [node for node in map(_instance, classes) if node is not None]
    now = [node for node in nodes if not _tried(node.imports_sdk)]
    prepared = [_tried(node.prepare) for node in now]
    for node in nodes:
        _warn_of_wrong_config(node)
    if any(prepared):
        await exercise_pydantic_ai()
    later = [node for node in nodes if node not in now]
    return asyncio.create_task(_prepare_later(later)) if later else None


async def _prepare_later(nodes: Iterable[Node]) -> None:
    for node in nodes:
        await kind_of(type(node)).sdk.wait_for(node)
        _tried(node.prepare)


def _warn_of_wrong_config(node: Node) -> None:
    try:
        declared_config_of(type(node))
    except MissingConfigurationError:
        return
    except ConfigurationError as error:
        logger.warning("%s cannot run: %s", node.node_name, error)


def _instance(node_class: type[Node]) -> Node | None:
    try:
        return node_class.instance()
    except Exception:  # noqa: BLE001 - the user's code, outside of a run
        return None


def _tried(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except Exception as error:  # noqa: BLE001 - as above; the first run will say it
        logger.debug("not prepared: %s", error)
        return False
