"""Langfuse as the place where traces go. Imported only when its keys are set.

The client is Langfuse's own, so that a node's code which calls `langfuse.get_client()` adds to
the same trace. Its exporter is wrapped: a host that is dead must cost neither a flood of log
lines nor a slow exit.
"""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langfuse import Langfuse, propagate_attributes
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["PatientExporter", "give_up", "propagated", "start"]

_log = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds without an attempt after a failed one; doubles with each, up to `MAX_PAUSE`."""
MAX_PAUSE = 160.0
MAX_VALUE = 200
"""Langfuse propagates no longer value than this, in characters."""

_exporter: PatientExporter | None = None


class PatientExporter(SpanExporter):
    """Sends spans through what `connect` makes, and after a failure drops them for a while.

    One log line when spans are first lost and one when they arrive again.
    """

    def __init__(self, connect: Callable[[], SpanExporter]) -> None:
        self._connect = connect
        self._inner = connect()
        self._resume_at = 0.0
        self._pause = PAUSE
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by the batch processor's thread, one batch at a time."""
        if time.monotonic() < self._resume_at:
            self._lost += len(spans)
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._recovered()
        else:
            self._failed(len(spans))
        return result

    def pause(self) -> None:
        """Drop what is waiting, and what is under way between two attempts: no more time for it."""
        self._resume_at = time.monotonic() + self._pause
        # An exporter that was shut down stays so, and this process may go on.
        given_up, self._inner = self._inner, self._connect()
        given_up.shutdown()

    def shutdown(self) -> None:
        """Close the connection; ends a wait between two attempts."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered here."""
        return self._inner.force_flush(timeout_millis)

    def _failed(self, count: int) -> None:
        if not self._lost:
            _log.warning(
                "Langfuse does not take traces (unreachable, or the keys are refused); "
                "they are dropped until it does. Runs are not affected."
            )
        self._lost += count
        self._resume_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, MAX_PAUSE)

    def _recovered(self) -> None:
        if self._lost:
            _log.info("Langfuse takes traces again; %d spans were lost.", self._lost)
        self._lost = 0
        self._pause = PAUSE


def start() -> Langfuse:
    """Construct Langfuse's client from its environment variables; the second call finds the first.

    A client that the application made before with the same keys stays as it is. Raises
    `ValueError` when a variable of Langfuse's is malformed.
    """
    global _exporter  # noqa: PLW0603  Langfuse's client is one a process, too
    _exporter = PatientExporter(_otlp)
    return Langfuse(span_exporter=_exporter)


def give_up() -> None:
    """Drop what is waiting to be sent."""
    if _exporter is not None:
        _exporter.pause()


def propagated(
    workflow: str,
    *,
    metadata: Mapping[str, Any],
    session_id: str | None,
    user_id: str | None,
    tags: Sequence[str],
) -> Context:
    """The caller's context, in which every span carries the client's attributes.

    What Langfuse would refuse to propagate (too long, not ASCII) is left out here, without its
    warning: the run's own span has it in full.
    """
    with propagate_attributes(
        trace_name=_fitting(workflow),
        session_id=_fitting(session_id),
        user_id=_fitting(user_id),
        tags=[tag for tag in tags if _fitting(tag)] or None,
        metadata={
            key: value
            for key, value in metadata.items()
            if key.isascii() and isinstance(value, str) and len(value) < MAX_VALUE // 2
        },
    ):
        return otel_context.get_current()


def _fitting(value: str | None) -> str | None:
    return value if value and value.isascii() and len(value) <= MAX_VALUE else None


def _otlp() -> SpanExporter:
    return OTLPSpanExporter(
        endpoint=_endpoint(),
        headers=_headers(),
        timeout=float(os.environ.get("LANGFUSE_TIMEOUT", "5")),
        compression=_compression(),
    )


def _endpoint() -> str:
    host = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST")
    path = os.environ.get("LANGFUSE_OTEL_TRACES_EXPORT_PATH") or "api/public/otel/v1/traces"
    return f"{(host or 'https://cloud.langfuse.com').rstrip('/')}/{path}"


def _headers() -> dict[str, str]:
    from langfuse import __version__

    public = os.environ["LANGFUSE_PUBLIC_KEY"]
    credentials = f"{public}:{os.environ['LANGFUSE_SECRET_KEY']}".encode()
    return {
        "Authorization": f"Basic {base64.b64encode(credentials).decode()}",
        "x-langfuse-public-key": public,
        "x-langfuse-sdk-name": "python",
        "x-langfuse-sdk-version": __version__,
        "x-langfuse-ingestion-version": "4",
    }


def _compression() -> Compression:
    asked = os.environ.get("LANGFUSE_OTEL_COMPRESSION", "gzip").strip().lower()
    return Compression.NoCompression if asked == "none" else Compression.Gzip
