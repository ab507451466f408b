"""`Run`: one run of a workflow, from its first node to its last."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any, cast

from launchpad.core.answer import told
from launchpad.core.failure import UNEXPECTED, blame, described
from launchpad.core.form import check_answers_in_form, wanted_form
from launchpad.core.node_life import kind_of, live
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.observed import ObservedRun
from launchpad.core.speech import Speech
from launchpad.core.task import TaskContext
from launchpad.core.validate import Graph
from launchpad.errors import LaunchpadError, NodeError, OverloadedError
from launchpad.events import (
    FinishReason,
    NodeFinished,
    NodeStarted,
    RunEvent,
    RunFinished,
    RunStarted,
    Usage,
    total_usage,
)
from launchpad.models.agents.forgotten import end_forgotten_task
from launchpad.models.scope import Spent, spent_here
from launchpad.observe import blocking
from launchpad.observe.tracing import run_tracer
from launchpad.stream.ending import is_end
from launchpad.stream.failure import failed, forget
from launchpad.stream.mailbox import Mailbox

logger = logging.getLogger("launchpad.run")


class Run:
    """Walks the graph. `mailbox` is where events go; without one the run is silent."""

    def __init__(
        self,
        workflow: str,
        start: type[Node],
        graph: Graph,
        context: TaskContext,
        mailbox: Mailbox | None = None,
        *,
        tracing: bool = False,
    ) -> None:
        self._workflow = workflow
        self._start = start
        self._graph = graph
        self._context = context
        self._mailbox = mailbox
        self._tracing = tracing
        self._watch: ObservedRun | None = None
        self._finish_reason: FinishReason | None = None
        self._reasons: dict[type[Node], FinishReason] = {}
        self._called = False
        """A node has called a client's tool."""
        self._ended_for: FinishReason = "stop"
        self._usages: list[Usage | None] = []
        self._last: Node | None = None

    async def stream(self) -> None:
        """Run, and say everything to the mailbox: failures too, which therefore don't raise."""
        context = self._context
        await self._emit(RunStarted(context.run_id, self._workflow, context.event))
        try:
            await self.execute()
        except Exception as error:
            # An upstream's failure is told in a line; only our users' bugs need their traceback.
            foreign = isinstance(error, OverloadedError) or isinstance(
                error.__cause__ or error, LaunchpadError
            )
            logger.warning(
                "run %s of %s failed: %s",
                context.run_id,
                self._workflow,
                described(error),
                exc_info=None if foreign else error,
            )
            failure = failed(error)
            forget(error)
            if self._mailbox is not None:
                self._mailbox.fail(failure)
        else:
            await self._emit(RunFinished(self._finish_reason or "stop", total_usage(self._usages)))

    async def execute(self) -> None:
        """Run every node on the way. Raises what went wrong, as a `LaunchpadError`."""
        # Where a node of another run drives this one, its tokens are that node's too.
        outer = spent_here.get()
        watch = ObservedRun(run_tracer(self._tracing), self._workflow, self._context)
        self._watch = watch
        try:
            await self._walk()
        except BaseException as error:
            watch.end(error=error)
            raise
        if outer is not None:
            outer.usages += self._usages
        watch.end(
            output=self._context.nodes,
            # As clients are told: `CallIndex.ending` in `launchpad.wire`.
            finish_reason="tool_calls"
            if self._called and self._finish_reason in {None, "stop"}
            else self._finish_reason,
            usage=total_usage(self._usages),
        )

    async def _walk(self) -> None:
        following: type[Node] | None = self._start
        wanted, ran = wanted_form(), list[type[Node]]()
        while following is not None and not self._context.should_stop:
            if wanted is not None:
                check_answers_in_form(self._graph, following, ran)
                ran += [following, *self._graph[following].concurrent_nodes]
            # Awaited here, not a call further down: see `Workflow.producer`.
            node = self._last = await self._run_node(following)
            following = await self._after(following, node)
        if self._finish_reason is None:
            await self._speak_for_the_silent()

    async def _after(self, node_class: type[Node], node: Node) -> type[Node] | None:
        if self._context.should_stop:
            return None
        if kind_of(type(node)).is_router:
            return await self._route(cast("BaseRouter", node))
        connections = self._graph[node_class].connections
        return connections[0] if connections else None

    async def _route(self, router: BaseRouter) -> type[Node] | None:
        try:
            with blocking.watched(router.node_name):
                chosen = router.route(self._context)
                if inspect.isawaitable(chosen):
                    chosen = await chosen
        except UNEXPECTED as error:
            if is_end(error, self._mailbox):
                raise
            failure = blame(router.node_name, error)
            raise failure from failure.__cause__
        if chosen is None:
            return None
        if isinstance(chosen, str):
            raise NodeError(
                router.node_name,
                f"routed to the str {chosen!r}; return the node's class, without quotes.",
            )
        target = chosen if isinstance(chosen, type) else type(chosen)
        if target not in self._graph[type(router)].connections:
            raise NodeError(
                router.node_name,
                f"routed to {target.__name__}, which is not among its connections.",
            )
        return target

    async def _run_node(
        self,
        node_class: type[Node],
        parent: str | None = None,
        group: asyncio.Task[Any] | None = None,
    ) -> Node:
        name = node_class.__name__
        await self._emit(NodeStarted(name, parent))
        begun = self._watch.first_content if self._watch is not None else None
        speech = Speech(name, self._mailbox, begun)
        # Every request that the node's agents make is counted, whoever makes it.
        spent = Spent()
        token = spent_here.set(spent)
        watch = self._watch.node(name) if self._watch is not None else None
        try:
            node = await live(
                node_class, self._context, speech, self._run_members, self._mailbox, group
            )
        except BaseException as error:
            # Not kept in a variable: the frame would hold itself, and every stream below it open,
            # until the garbage collector comes by.
            if watch is not None:
                watch.end(error=error, output=self._context.nodes.get(name))
            end_forgotten_task(error)
            spent_here.reset(token)
            raise
        spent_here.reset(token)
        if watch is not None:
            watch.end(output=self._context.nodes.get(name))
        if speech.usage is not None:
            spent.usages.append(speech.usage)
        self._ended_for = (
            node.finish_reason or speech.finish_reason or spent.finish_reason or "stop"
        )
        reason = self._ended_for if speech.has_spoken else None
        self._called = self._called or speech.called
        if reason is not None:
            self._finish_reason = self._reasons[node_class] = reason
        await self._emit(NodeFinished(name, reason, self._note_usage(node, spent.usages)))
        return node

    async def _run_members(self, node_class: type[Node]) -> None:
        members = self._graph[node_class].concurrent_nodes
        owner = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                for member in members:
                    group.create_task(
                        self._run_node(member, node_class.__name__, owner),
                        name=f"launchpad:{member.__name__}",
                    )
        except BaseExceptionGroup as errors:
            # The group cancelled the others because of the first.
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        # The last declared is shown last, whoever was done last.
        for member in members:
            if member in self._reasons:
                self._finish_reason = self._reasons[member]

    def _note_usage(self, node: Node, spent: list[Usage | None]) -> Usage | None:
        if node.called_model:
            spent.append(node.usage)
        self._usages += spent
        return total_usage(spent)

    async def _speak_for_the_silent(self) -> None:
        """Where no node spoke, the last node's output is the answer, and its end the run's."""
        node = self._last
        self._finish_reason = self._ended_for
        output = self._context.nodes.get(node.node_name) if node is not None else None
        if node is not None and output is not None:
            await self._emit(told(output, node.node_name))

    async def _emit(self, event: RunEvent) -> None:
        mailbox = self._mailbox
        if mailbox is not None and not mailbox.offer(event):
            await mailbox.put(event)
