"""`Node`: the smallest step of a workflow."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from launchpad.core.task import TaskContext
from launchpad.errors import DefinitionError
from launchpad.events import FinishReason, Usage


class Node(ABC):
    """One step of a workflow. A fresh instance is made for every run.

    `process` may be a coroutine (`async def`), a plain function (it runs in a thread, so that it
    may block) or an async generator. A generator speaks: what it yields, a str, a dict or an
    event, goes to the client at once, and the whole of it becomes the node's output.
    """

    class OutputType(BaseModel):
        """What the node produces; derive from it to give the output fields."""

    speaks_json: ClassVar[bool | None] = None
    """Whether what the node says is JSON, where its author knows better than its annotations.

    A request for `valid_json_chunks` is refused where no node of the workflow can say JSON.
    """

    _finish_reason: FinishReason | None = None
    _called_model: bool = False
    _usage: Usage | None = None

    def __init__(self, task_context: TaskContext | None = None) -> None:
        self._task_context = task_context

    @classmethod
    def instance(cls, task_context: TaskContext | None = None) -> Self:
        """A node for one run.

        A subclass's own `__init__` gets the context where it has a place for it: a parameter of
        that name or annotation, or the only one that is needed. It need not call ours.
        """
        place = context_parameter(cls)
        if place is None:
            node = cls()
        elif place:
            node = cls(**{place: task_context})
        else:
            node = cls(task_context)
        node._task_context = task_context
        return node

    @property
    def node_name(self) -> str:
        """The class's name: the node's name in events, outputs and logs."""
        return type(self).__name__

    @property
    def task_context(self) -> TaskContext:
        """The run that this node belongs to."""
        context: TaskContext | None = getattr(self, "_task_context", None)
        if context is None:
            raise DefinitionError(
                f"{self.node_name} was made without a task context. A run gives it one, once it is "
                f"made; in a test of your own write {self.node_name}(task_context)."
            )
        return context

    @abstractmethod
    def process(self, task_context: TaskContext) -> Any:
        """Do the node's work. Return the context, the output, or nothing; or yield what to say."""

    def save_output(self, output: Any) -> None:
        """Keep `output` for later nodes."""
        self.task_context.save_output(type(self), output)

    def get_output(self, node_class: type[Node]) -> Any:
        """What `node_class` produced in this run, or None where it did not run.

        Raises `OutputError` where its output was lost.
        """
        return self.task_context.get_output(node_class)

    def prepare(self) -> bool:
        """Build, at start-up, what every run of the class needs. Return whether it asks models.

        Runs on the event loop that will run the node, outside of any run.
        """
        return False

    def imports_sdk(self) -> bool:
        """Whether `prepare` imports a provider's SDK, which may take seconds."""
        return False

    async def cleanup(self) -> None:  # noqa: B027 - most nodes hold nothing
        """Free what the node holds. Runs once `process` has ended, however it ended."""

    # What the engine asks a node after its last word.

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, where the node knows."""
        return self._finish_reason

    @property
    def called_model(self) -> bool:
        """Whether the node asked a model, so that a missing `usage` means an unknown one."""
        return self._called_model

    @property
    def usage(self) -> Usage | None:
        """The tokens of the node's model, where the upstream said."""
        return self._usage


@lru_cache(maxsize=1024)
def context_parameter(node_class: type[Node]) -> str | None:
    """How `__init__` takes the context: the keyword's name, "" by position, None not at all."""
    parameters = list(inspect.signature(node_class).parameters.values())
    for position, one in enumerate(parameters):
        if one.name in _CONTEXTS or "TaskContext" in str(one.annotation):
            return "" if position == 0 and one.kind is not one.KEYWORD_ONLY else one.name
    first = parameters[0] if parameters else None
    if first is None or first.kind in {first.KEYWORD_ONLY, first.VAR_KEYWORD}:
        return None
    return "" if first.default is first.empty else None


_CONTEXTS = frozenset({"task_context", "context", "ctx"})
