"""Spans of runs and nodes through OpenTelemetry's API, with the attributes that Langfuse reads.

Spans are started and ended by hand and their parents are given explicitly. No span is a context
manager around a `yield`: a generator that is closed elsewhere would leave in another context than
it entered ("Failed to detach context").

Attribute names: Langfuse's (`langfuse.*`, `user.id`, `session.id`:
https://langfuse.com/integrations/native/opentelemetry) and OpenTelemetry's for generative AI
(`gen_ai.*`). Langfuse exports only spans with a `gen_ai.*` attribute, so each span has one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer
from pydantic_core import PydanticSerializationError, to_json

from launchpad.observe.logs import redact
from launchpad.observe.tracing import NodeSpan, RunSpan, RunTracer

if TYPE_CHECKING:
    from pydantic_ai.models.instrumented import InstrumentationSettings

Propagate = Callable[..., Context]

MAX_TEXT = 64 * 1024
"""An input or output longer than this, in characters, is cut: the queue of spans holds 2,048."""

_RUN = otel_context.create_key("launchpad-run")
_NODE = otel_context.create_key("launchpad-node")
_INPUT, _OUTPUT = "langfuse.observation.input", "langfuse.observation.output"


class OtelTracer(RunTracer):
    """Starts the spans of runs with the process's tracer provider.

    `propagate` returns a context whose spans all carry the client's attributes (Langfuse), or is
    None when nothing does that.
    """

    __slots__ = ("_propagate", "_tracer")

    enabled = True

    def __init__(self, propagate: Propagate | None) -> None:
        self._propagate = propagate
        self._tracer = trace.get_tracer("launchpad")

    def run(
        self,
        workflow: str,
        run_id: str,
        *,
        input: object = None,  # noqa: A002  Langfuse's and OpenTelemetry's word for it
        metadata: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        tags: Sequence[str] = (),
    ) -> RunSpan:
        """See `RunTracer.run`."""
        context = otel_context.get_current()
        if self._propagate is not None:
            context = self._propagate(
                workflow, metadata=metadata or {}, session_id=session_id, user_id=user_id, tags=tags
            )
        shared: dict[str, Any] = {"gen_ai.workflow.name": workflow, "launchpad.run_id": run_id}
        if session_id:
            shared["session.id"] = _clean(session_id)
        if user_id:
            shared["user.id"] = _clean(user_id)
        span = self._tracer.start_span(
            workflow,
            context=context,
            attributes={
                **shared,
                "gen_ai.operation.name": "invoke_workflow",
                "langfuse.observation.type": "chain",
                "langfuse.trace.name": workflow,
            },
        )
        if span.is_recording():
            _set_content(span, _INPUT, input)
            if tags:
                span.set_attribute("langfuse.trace.tags", [_clean(tag) for tag in tags])
            for key, value in {"run_id": run_id, **(metadata or {})}.items():
                name = f"langfuse.trace.metadata.{_clean(str(key))}"
                span.set_attribute(name, _json(value))
        return OtelRunSpan(self._tracer, span, context, shared)


class OtelRunSpan(RunSpan):
    """The span of a run, with the nodes that are open below it."""

    __slots__ = ("_context", "_lock", "_open", "_shared", "_span", "_tracer")

    def __init__(
        self, tracer: Tracer, span: Span, context: Context, shared: Mapping[str, Any]
    ) -> None:
        self._tracer = tracer
        self._span = span
        self._context = otel_context.set_value(
            _RUN, span.get_span_context(), trace.set_span_in_context(span, context)
        )
        self._shared = shared
        self._open: set[OtelNodeSpan] = set()
        self._lock = threading.Lock()

    def node(self, node: str) -> NodeSpan:
        """See `RunSpan.node`."""
        above = self._above()
        span = self._tracer.start_span(
            node, context=above, attributes={**self._shared, "langfuse.observation.type": "span"}
        )
        opened = OtelNodeSpan(span, above, self._closed)
        with self._lock:
            self._open.add(opened)
        return opened

    def end(self, *, output: object = None, error: BaseException | None = None) -> None:
        """See `RunSpan.end`."""
        with self._lock:
            left = list(self._open)
        for node in left:
            node.end(error=error or asyncio.CancelledError())
        _finish(self._span, output, error)

    def _above(self) -> Context:
        """The caller's context within an open node of this run, else the run's."""
        current = otel_context.get_current()
        inside = otel_context.get_value(_NODE, current)
        same_run = otel_context.get_value(_RUN, current) == self._span.get_span_context()
        return (
            current
            if same_run and isinstance(inside, OtelNodeSpan) and inside.open
            else self._context
        )

    def _closed(self, node: OtelNodeSpan) -> None:
        with self._lock:
            self._open.discard(node)


class OtelNodeSpan(NodeSpan):
    """The span of a node, current in the task that made it."""

    __slots__ = ("_before", "_closed", "_context", "_span", "open")

    def __init__(self, span: Span, above: Context, closed: Callable[[OtelNodeSpan], None]) -> None:
        self._span = span
        self._closed = closed
        self.open = True
        self._before = otel_context.get_current()
        self._context = otel_context.set_value(_NODE, self, trace.set_span_in_context(span, above))
        otel_context.attach(self._context)

    def end(self, *, output: object = None, error: BaseException | None = None) -> None:
        """See `NodeSpan.end`."""
        if not self.open:
            return
        self.open = False
        # Not `detach`: its token fails, with a logged traceback, in any other context, which is
        # where a run that is dropped ends. What is current there is not ours to change.
        if otel_context.get_current() is self._context:
            otel_context.attach(self._before)
        self._closed(self)
        _finish(self._span, output, error)


def instrumentation() -> InstrumentationSettings | None:
    """See `launchpad.observe.tracing.instrumentation`."""
    return _settings() if otel_context.get_value(_RUN) else None


@cache
def _settings() -> InstrumentationSettings:
    from pydantic_ai.models.instrumented import InstrumentationSettings

    return InstrumentationSettings(tracer_provider=trace.get_tracer_provider())


def note(event: str, attributes: Mapping[str, str | float]) -> None:
    """Put an event on the current span."""
    trace.get_current_span().add_event(event, attributes)


def flush(timeout: float) -> bool:
    """Let the provider send what is waiting; False after `timeout` seconds."""
    force = getattr(trace.get_tracer_provider(), "force_flush", None)
    if force is None:
        return True
    # In a thread: the batch processor of the SDK takes no notice of the time it is given.
    worker = threading.Thread(target=force, name="launchpad-trace-flush", daemon=True)
    worker.start()
    worker.join(timeout)
    return not worker.is_alive()


def _finish(span: Span, output: object, error: BaseException | None) -> None:
    if not span.is_recording():
        return
    if output is not None:
        _set_content(span, _OUTPUT, output)
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        span.set_attribute("langfuse.observation.level", "WARNING")
        span.set_attribute("langfuse.observation.status_message", "cancelled")
    elif error is not None:
        message = _clean(redact(f"{type(error).__name__}: {error}"))[:MAX_TEXT]
        span.set_attribute("langfuse.observation.level", "ERROR")
        span.set_attribute("langfuse.observation.status_message", message)
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR, message))
    span.end()


def _set_content(span: Span, name: str, value: object) -> None:
    if value is not None:
        text = _clean(value) if isinstance(value, str) else _json(value)
        if len(text) > MAX_TEXT:
            text = f"{text[:MAX_TEXT]}… (cut; {len(text)} characters)"
        span.set_attribute(name, text)


def _json(value: object) -> str:
    try:
        return to_json(value, serialize_unknown=True, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return f'"<{type(value).__name__} that is not serialisable>"'


def _clean(text: str) -> str:
    """Without lone surrogates: the exporter drops the whole batch for one of them."""
    return text.encode("utf-8", "replace").decode()
