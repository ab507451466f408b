"""A receiver of OTLP traces as Langfuse runs one, and a way to run scenarios in processes.

OpenTelemetry's provider is set once a process, so each scenario has a process of its own.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SCENARIOS = Path(__file__).with_name("scenarios.py")
Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class ReceivedSpan:
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    scope: str
    attributes: dict[str, Any]
    events: tuple[str, ...]
    error: bool


class Receiver:
    """`POST /api/public/otel/v1/traces`; keeps what it decodes."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.headers: list[dict[str, str]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                known = self.path == "/api/public/otel/v1/traces"
                if known:
                    receiver.headers.append({k.lower(): v for k, v in self.headers.items()})
                    receiver.take(body)
                self.send_response(200 if known else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_received(span, scope.scope.name) for span in scope.spans]

    def one(self, name: str) -> ReceivedSpan:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]

    def children(self, parent: ReceivedSpan) -> list[str]:
        return sorted(span.name for span in self.spans if span.parent_id == parent.span_id)


def _received(span: Any, scope: str) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        scope=scope,
        attributes={item.key: _value(item.value) for item in span.attributes},
        events=tuple(event.name for event in span.events),
        error=span.status.code == 2,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def scenario() -> Run:
    """Run a function of scenarios.py in a process; its output is what it printed and logged."""

    def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LANGFUSE", "OTEL"))}
        done = subprocess.run(
            [sys.executable, "-W", "error", str(SCENARIOS), name],
            env={**kept, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def keys(receiver: Receiver) -> dict[str, str]:
    return langfuse_keys(receiver.url)


def langfuse_keys(url: str) -> dict[str, str]:
    return {
        "LANGFUSE_PUBLIC_KEY": "pk-lf-test",
        "LANGFUSE_SECRET_KEY": "sk-lf-test-0123456789",
        "LANGFUSE_BASE_URL": url,
    }
