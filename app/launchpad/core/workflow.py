"""`Workflow`: nodes joined into one runnable thing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from launchpad.core.form import all_nodes, can_answer_in_form
from launchpad.core.nodes.base import Node
from launchpad.core.run import Run
from launchpad.core.schema import WorkflowSchema
from launchpad.core.scope import scope_of
from launchpad.core.task import TaskContext, new_run_id
from launchpad.core.validate import Graph, validate
from launchpad.errors import DefinitionError, RequestError
from launchpad.models.scope import request_scope
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream, Producer
from launchpad.wire.openai_chat.validation import explain

__all__ = ["Workflow"]


class Workflow:
    """Derive from it and set `workflow_schema`; it is checked when the class is defined.

    `enable_tracing` sends one trace a run to Langfuse, where its keys are set.
    """

    workflow_schema: ClassVar[WorkflowSchema]
    stream_by_default: ClassVar[bool] = False
    """Served over chat: stream where the request names no `stream` and does not ask for JSON."""

    enable_tracing: bool = False
    _graph: ClassVar[Graph | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "workflow_schema" in cls.__dict__:
            cls._graph = validate(cls.__name__, cls.workflow_schema)

    def __init__(self, enable_tracing: bool = False) -> None:
        if self._graph is None:
            raise DefinitionError(
                f"{type(self).__name__} has no workflow_schema; set it to WorkflowSchema(…)."
            )
        self.enable_tracing = enable_tracing

    @classmethod
    def node_classes(cls) -> Iterator[type[Node]]:
        """Every node of the workflow, those that run beside each other included."""
        yield from all_nodes(cls._graph or {})

    @classmethod
    def can_answer_in_form(cls) -> bool:
        """Whether it may answer in a form of the client's (`response_format`), and in nothing else.

        That is: on some way through the graph one node alone speaks, and its model is asked so.
        """
        return cls._graph is not None and can_answer_in_form(cls._graph, cls.workflow_schema.start)

    def run(self, event: Any) -> TaskContext:
        """Run to the end and return the context, with every node's output.

        Args:
            event: an instance of `event_schema`, or a mapping that validates as one.

        Raises:
            RequestError: the event does not fit `event_schema`.
            NodeError: a node failed; it names the node.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run_async(event))
        raise RuntimeError(
            f"{type(self).__name__}.run() was called in a running event loop; there, await "
            "run_async()."
        )

    async def run_async(self, event: Any, *, run_id: str | None = None) -> TaskContext:
        """As `run`, within an event loop. Streaming nodes run too; what they say is kept."""
        context = self._context(event, run_id)
        token = request_scope.set(scope_of(context.event))
        try:
            await self._run(context).execute()
        finally:
            request_scope.reset(token)
        return context

    def run_stream_async(self, event: Any, *, run_id: str | None = None) -> EventStream:
        """Run, and stream what happens as the typed events of `launchpad.events`.

        The run starts when the stream is first read. A failure is its last event, `RunFailed`;
        only an event that does not fit `event_schema` raises `RequestError`, here and now.
        """
        return EventStream(self.producer(event, run_id=run_id), name=type(self).__name__)

    def producer(self, event: Any, *, run_id: str | None = None, request: Any = None) -> Producer:
        """What `run_stream_async` runs, for an owner of its own. Raises `RequestError`.

        `request` is the chat request that `event` was made of, where it is another thing: its
        sampling parameters hold for the run.
        """
        context = self._context(event, run_id)
        if request is not context.event:
            context.request = request
        scope = scope_of(context.event if request is None else request)

        # Called in the task that owns the run, or that is about to start it. Not a coroutine: what
        # a run waits for passes through each one above it, some thirty times for an agent.
        def produce(mailbox: Mailbox) -> Coroutine[Any, Any, None]:
            request_scope.set(scope)
            return self._run(context, mailbox).stream()

        return produce

    def _run(self, context: TaskContext, mailbox: Mailbox | None = None) -> Run:
        assert self._graph is not None  # noqa: S101 - checked when the instance was made
        name = type(self).__name__
        start, tracing = self.workflow_schema.start, self.enable_tracing
        return Run(name, start, self._graph, context, mailbox, tracing=tracing)

    def _context(self, event: Any, run_id: str | None) -> TaskContext:
        return TaskContext(event=self._validated(event), run_id=run_id or new_run_id())

    def _validated(self, event: Any) -> BaseModel:
        schema = self.workflow_schema.event_schema
        if isinstance(event, schema):
            return event
        if isinstance(event, BaseModel):
            event = event.model_dump()
        if not isinstance(event, Mapping):
            raise RequestError(
                f"{type(self).__name__} takes {schema.__name__} or a mapping of its fields, not "
                f"{type(event).__name__}."
            )
        try:
            return schema.model_validate(event)
        except ValidationError as error:
            problem = explain(error.errors(include_url=False))
            raise RequestError(
                f"The event does not fit {schema.__name__}: {problem.message}",
                param=problem.param,
                code=problem.code,
            ) from error
