"""Tracing of runs: what `Workflow(enable_tracing=True)` uses.

A run is one trace: a span for the run, below it a span for each node, and below those the spans
that pydantic-ai makes for agents, model requests and tools. They go to Langfuse when its keys are
set (`LANGFUSE_PUBLIC_KEY`, `LANGFUSE_SECRET_KEY`, `LANGFUSE_BASE_URL`), and to the process's own
OpenTelemetry provider when there is one.

Nothing is imported and nothing is recorded until a run is traced. The classes here record
nothing; those that do are in `launchpad.observe.spans`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.models.instrumented import InstrumentationSettings

__all__ = [
    "NodeSpan",
    "RunSpan",
    "RunTracer",
    "instrumentation",
    "langfuse_ready",
    "note",
    "prepare",
    "run_tracer",
    "shutdown",
]

_log = logging.getLogger(__name__)

NO_KEYS = (
    "Tracing is on but LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are not set; runs are not "
    "traced. Set them or pass enable_tracing=False."
)
NO_EXTRA = (
    "Tracing is on and Langfuse's keys are set, but langfuse is not installed; runs are not sent "
    'to it. Install it with: pip install "langfuse>=5"'
)


class NodeSpan:
    """The span of a node that is running. This one records nothing."""

    __slots__ = ()

    def end(self, *, output: object = None, error: BaseException | None = None) -> None:
        """Close the span; only the first call counts.

        Call it in the task that made the span. `output` is anything; `error` is what ended the
        node, where cancellation is told from failure.
        """


class RunSpan:
    """The span of a run. This one records nothing."""

    __slots__ = ()

    def node(self, node: str) -> NodeSpan:
        """Start the span of a node and make it current in the calling task, until its `end`.

        Spans that the node's code makes, and tasks and threads that it starts, come below it: so
        do nodes that it runs (a concurrent node's). Any other node comes below the run.
        """
        del node
        return _NO_NODE

    def end(self, *, output: object = None, error: BaseException | None = None) -> None:
        """Close the run's span, and first the nodes' that are still open; any task may call it."""


class RunTracer:
    """Starts the spans of runs. This one records nothing."""

    __slots__ = ()

    enabled = False

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
        """Start the span of a run, below the caller's current span if there is one.

        `metadata`, `session_id`, `user_id` and `tags` are the client's; they go to the trace and
        to every span below it.
        """
        del workflow, run_id, input, metadata, session_id, user_id, tags
        return _NO_RUN


_NO_NODE = NodeSpan()
_NO_RUN = RunSpan()
_OFF = RunTracer()

_lock = threading.Lock()
_warned: set[str] = set()
_connected: RunTracer | None = None


def run_tracer(enabled: bool) -> RunTracer:
    """The tracer of a workflow's runs; one that records nothing unless `enabled`.

    The first call with `enabled` sets up the exporter (half a second with Langfuse); `prepare`
    does it at start-up instead. Never raises: without keys, or without the extra, it warns once a
    process and the runs go on untraced.
    """
    if not enabled:
        return _OFF
    return _connected or _connect()


def prepare() -> bool:
    """Set the exporter up now, so that no request waits for it. False when nothing is traced.

    Silent without Langfuse's keys: the warning belongs to a workflow that asked for tracing.
    """
    if not _keys_set() and _own_provider() is None:
        return False
    return (_connected or _connect()).enabled


def langfuse_ready() -> bool:
    """Whether runs can be sent to Langfuse; the client is not constructed.

    Warns once a process when they cannot: no keys, or no `langfuse` extra.
    """
    if os.environ.get("LANGFUSE_TRACING_ENABLED", "true").lower() == "false":
        return False
    if not _keys_set():
        _warn_once(NO_KEYS)
        return False
    from importlib.util import find_spec

    if find_spec("langfuse") is None:
        _warn_once(NO_EXTRA)
        return False
    return True


def instrumentation() -> InstrumentationSettings | None:
    """What to set as a pydantic-ai agent's `instrument` in the current run; None when untraced.

    To be asked while a node runs: the answer is the running node's, not the process's. The object
    is always the same, so that agents can be cached by it.
    """
    if _connected is None:
        return None
    from launchpad.observe import spans

    return spans.instrumentation()


def note(event: str, **attributes: str | float) -> None:
    """Put an event (a retry, a fallback) on the span that is current; free when untraced."""
    if _connected is None:
        return
    from launchpad.observe import spans

    spans.note(event, attributes)


def shutdown(timeout: float) -> bool:
    """Send what is waiting, for at most `timeout` seconds. False when some of it was not sent.

    Blocks; call it in a thread from async code. Tracing works on afterwards, so that an
    application can be started again in the same process.
    """
    if _connected is None:
        return True
    from launchpad.observe import spans

    if spans.flush(timeout):
        return True
    export = sys.modules.get("launchpad.observe.langfuse_export")
    if export is not None:
        export.give_up()
    _log.warning("Traces were not delivered within %g s; what was waiting is lost.", timeout)
    return False


def _connect() -> RunTracer:
    global _connected  # noqa: PLW0603  one exporter a process
    with _lock:
        if _connected is not None:
            return _connected
        # An application's own provider gets the spans without Langfuse, so nothing is amiss then.
        wants_langfuse = _keys_set() or _own_provider() is None
        propagate = _start_langfuse() if wants_langfuse and langfuse_ready() else None
        if propagate is None and _own_provider() is None:
            return _OFF
        from launchpad.observe import spans

        _connected = spans.OtelTracer(propagate)
        return _connected


def _start_langfuse() -> Any:
    try:
        from launchpad.observe import langfuse_export

        langfuse_export.start()
    except (ImportError, ValueError) as error:
        _warn_once(f"Langfuse could not be set up; runs are not sent to it: {error}")
        return None
    return langfuse_export.propagated


def _keys_set() -> bool:
    names = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    return all(os.environ.get(name, "").strip() for name in names)


def _own_provider() -> object | None:
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _warn_once(line: str) -> None:
    if line not in _warned:
        _warned.add(line)
        _log.warning(line)
