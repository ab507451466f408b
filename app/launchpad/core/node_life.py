"""`live`: a node's whole life within a run: made, processed, cleaned up, its output kept."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache, partial
from types import AsyncGeneratorType
from typing import Any, NamedTuple, cast

from launchpad.core.failure import UNEXPECTED, blame, say_whose
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import PASSES_WORDS_ON, ModelStreamingNode
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.sdk_imports import SdkImports
from launchpad.core.shelter import sheltered
from launchpad.core.speech import Speech, from_thread
from launchpad.core.task import TaskContext
from launchpad.core.threads import in_thread
from launchpad.errors import NodeError
from launchpad.models.scope import end_open_runs, spent_here
from launchpad.observe import blocking
from launchpad.stream.ending import is_end, is_interrupt
from launchpad.stream.mailbox import Mailbox

logger = logging.getLogger("launchpad.run")

RunMembers = Callable[[type[Node]], Awaitable[None]]
"""Runs the nodes beside each other that belong to a concurrent node of that class."""


class Kind(NamedTuple):
    """What a node's class says of how it is run. Looked up once: `Node` is an ABC."""

    is_async: bool
    is_concurrent: bool
    is_router: bool
    only_routes: bool
    sdk: SdkImports


@lru_cache(maxsize=1024)
def kind_of(node_class: type[Node]) -> Kind:
    """How nodes of that class are run."""
    process = node_class.process
    is_router = issubclass(node_class, BaseRouter)
    return Kind(
        is_async=inspect.iscoroutinefunction(process) or inspect.isasyncgenfunction(process),
        is_concurrent=issubclass(node_class, ConcurrentNode),
        is_router=is_router,
        only_routes=is_router and process is BaseRouter.process,
        sdk=SdkImports(),
    )


async def live(
    node_class: type[Node],
    context: TaskContext,
    speech: Speech,
    run_members: RunMembers,
    mailbox: Mailbox | None,
    group: asyncio.Task[Any] | None,
) -> Node:
    """The node, when all is over. What it has to say goes to `speech`.

    `mailbox` and `group`, the task of the nodes beside it, tell an end of the run from a failure.
    Raises the node's failure as a `LaunchpadError`.
    """
    node: Node | None = None
    try:
        node = node_class.instance(context)
        kind = kind_of(type(node))
        if not kind.sdk.done:
            await kind.sdk.wait_for(node)
        if kind.is_concurrent:
            cast("ConcurrentNode", node).run_members = partial(run_members, node_class)
        if _says_it_as_it_is(node, node_class.__name__):
            cast("ModelStreamingNode", node).direct_words = speech.hear
        try:
            try:
                words = await _process(node, kind, context)
                if words is not None:
                    await speech.deliver(words)
            finally:
                if (spent := spent_here.get()) is not None and spent.open_runs:
                    await end_open_runs()
        finally:
            if type(node).cleanup is not Node.cleanup:
                # A client that leaves now must not cut it short.
                await sheltered(_free(node), name=node.node_name)
    except UNEXPECTED as error:
        if is_end(error, mailbox, group):
            raise
        failure = blame(node_class.__name__, error)
        say_whose(failure, node)
        raise failure from failure.__cause__
    if speech.has_spoken and not context.knows(type(node)):
        context.save_output(type(node), speech.output())
    return node


def _says_it_as_it_is(node: Node, name: str) -> bool:
    """Whether what the node's model says may pass the node by.

    Not with another `process`, whoever put it in and wherever, nor under another name, which `lift`
    mends.
    """
    process: Any = node.process
    return getattr(process, "__func__", None) is PASSES_WORDS_ON and node.node_name == name


async def _process(node: Node, kind: Kind, context: TaskContext) -> AsyncIterator[Any] | None:
    """Call the node's `process`; what it has to say, where it speaks. Its result is kept."""
    process: Callable[[TaskContext], Any] = node.process
    if kind.only_routes:
        return None
    if kind.is_async:
        result: Any = process(context)
    else:
        result = await in_thread(process, context)
    if type(result) is AsyncGeneratorType:
        return result  # pyright: ignore[reportUnknownVariableType]
    if inspect.isawaitable(result):
        result = await result
    if _has(result, "__aiter__"):
        return aiter(cast("AsyncIterator[Any]", result))
    if _has(result, "__next__"):
        return from_thread(result)
    if result is not None and not _is_its_own(context, result):
        _check_output(node.node_name, result)
        node.save_output(result)
    return None


def _is_its_own(context: TaskContext, result: object) -> bool:
    """Whether the node gives back its context, or a copy that keeps its outputs in the same place.

    Nothing is lost by a copy but what its other fields were set to.
    """
    return isinstance(result, TaskContext) and result.nodes is context.nodes


def _check_output(node: str, result: object) -> None:
    """What was not meant as an output. Raises `NodeError`."""
    if isinstance(result, TaskContext):
        raise NodeError(
            node,
            "returned another task context than its own, which would be lost; return the one that "
            "it was given, or of another run what you want of it: context.get_output(…).",
        )
    # A task or a future may be meant: begun here, for a later node to await.
    if inspect.iscoroutine(result):
        result.close()
        raise NodeError(node, "returned a coroutine; write await before what it returns.")


def _has(value: object, method: str) -> bool:
    return hasattr(type(value), method)


async def _free(node: Node) -> None:
    try:
        with blocking.watched(node.node_name):
            done: Any = node.cleanup()
            if inspect.isawaitable(done):
                await done
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if is_interrupt(error):
            raise
        # The node's result stands; what it failed to free is for its author to see.
        logger.exception("cleanup of %s failed", node.node_name)
