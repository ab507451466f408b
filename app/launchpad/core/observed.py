"""What a run tells its operators: one trace, one log line, its counts."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from launchpad.core.task import TaskContext
from launchpad.errors import LaunchpadError, UpstreamError
from launchpad.events import FinishReason, Usage
from launchpad.observe import blocking
from launchpad.observe.logs import bind_run, log_run_end, unbind_run
from launchpad.observe.metrics import RunStatus, metrics
from launchpad.observe.tracing import NodeSpan, RunSpan, RunTracer

__all__ = ["ObservedNode", "ObservedRun"]


class ObservedRun:
    """Watches one run from its first node to its last, in the task that owns it."""

    def __init__(self, tracer: RunTracer, workflow: str, context: TaskContext) -> None:
        self._workflow = workflow
        self._context = context
        self._began = time.monotonic()
        self._before = bind_run(context.run_id, workflow)
        asked = context.event if context.request is None else context.request
        self._spoke = False
        self._model = _text_of(asked, "model") or "-"
        self._metadata = _dict_of(asked, "metadata")
        metrics.run_started(workflow)
        self._span: RunSpan | None = None
        if tracer.enabled:
            self._span = tracer.run(
                workflow,
                context.run_id,
                input=context.event,
                metadata=self._metadata,
                user_id=_text_of(asked, "user"),
                session_id=_text_of(asked, "session_id"),
            )

    def node(self, name: str) -> ObservedNode:
        """Watch a node. Call it, and its `end`, in the task that runs the node."""
        return ObservedNode(self._span.node(name) if self._span is not None else None, name)

    def first_content(self) -> None:
        """A node has made its first content; the run's first counts."""
        if not self._spoke:
            self._spoke = True
            metrics.first_content(self._workflow, time.monotonic() - self._began)

    def end(
        self,
        *,
        error: BaseException | None = None,
        output: Any = None,
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Say how the run ended."""
        if self._span is not None:
            self._span.end(output=output, error=error)
        duration = time.monotonic() - self._began
        status: RunStatus
        if error is None:
            status = "completed"
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            status = "cancelled"
        else:
            status = "failed"
        metrics.run_ended(self._workflow, status, duration, usage)
        cause = _cause_of(error) if error is not None else None
        if isinstance(cause, UpstreamError):
            metrics.upstream_error(cause.code or "upstream_error", cause.provider or "")
        log_run_end(
            run_id=self._context.run_id,
            workflow=self._workflow,
            model=self._model,
            status=status,
            duration=duration,
            usage=usage,
            finish_reason=finish_reason,
            code=_code_of(cause) if cause is not None else None,
            metadata=self._metadata,
        )
        unbind_run(self._before)


class ObservedNode:
    """Watches one node of a run."""

    __slots__ = ("_entered", "_span")

    def __init__(self, span: NodeSpan | None, name: str) -> None:
        self._span = span
        self._entered = blocking.enter(name)

    def end(self, *, error: BaseException | None = None, output: Any = None) -> None:
        """Say how the node ended."""
        blocking.exit(self._entered)
        self._entered = None  # the task, whose cancellation's traceback leads back here
        if self._span is not None:
            self._span.end(output=output, error=error)


def _dict_of(event: Any, name: str) -> dict[str, Any] | None:
    value: Any = getattr(event, name, None)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _text_of(event: Any, name: str) -> str | None:
    value = getattr(event, name, None)
    return value if isinstance(value, str) else None


def _cause_of(error: BaseException) -> BaseException:
    """What went wrong below the node that is named for it."""
    if isinstance(error.__cause__, LaunchpadError):
        return error.__cause__
    return error


def _code_of(cause: BaseException) -> str | None:
    if isinstance(cause, asyncio.CancelledError):
        return None
    return getattr(cause, "code", None) or type(cause).__name__
