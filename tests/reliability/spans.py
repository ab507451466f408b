"""A process of its own that traces: leavers, a retry and a fallback. Prints what its spans did.

OpenTelemetry's provider can be set once a process, so this is no test but what a test runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from tests.reliability.flows import FLOWS, chain
from tests.reliability.harness import CHAT, Served, chat, eventually

from launchpad.core.nodes.agent import AgentConfig, RetryPolicy
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.workflow import Workflow
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Hang, Head, Repeat, Status


class Count(SpanProcessor):
    """How many spans of each name were started and ended, and their events."""

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.events: list[str] = []

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.started[span.name] += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.ended[span.name] += 1
        self.events += [event.name for event in span.events]


class Stubborn(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        retry = RetryPolicy(attempts=2, backoff=0.01)
        return AgentConfig(retry=retry, fallbacks=["another"])


def traced(workflow: type[Workflow]) -> type[Workflow]:
    """The workflow with `enable_tracing=True`."""

    class Traced(workflow):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__(enable_tracing=True)

    return Traced


def main() -> None:
    count = Count()
    provider = TracerProvider()
    provider.add_span_processor(count)
    trace.set_tracer_provider(provider)
    flows = {name: traced(flow) for name, flow in FLOWS.items()} | {
        "stubborn": traced(chain(Stubborn))
    }
    with ScriptedUpstream() as upstream:
        os.environ["OPENAI_BASE_URL"] = upstream.base_url
        with Served(flows, heartbeat=0.0) as served:
            for steps in ((Head(), Hang()), (Repeat("t{i} ", pace=0.01),)):
                upstream.clear()
                upstream.script_all(*steps)
                for model in ("talk", "direct", "both", "ask", "start", "second"):
                    client = open_stream(served.url + CHAT, chat(model), wait_head=False)
                    eventually(lambda: served.counts().runs == 1, "the run")
                    if steps[0] != Head() and model in {"talk", "direct", "both"}:
                        client.read_head()
                    client.close()
                    eventually(lambda: served.counts().runs == 0, "the run's end")
            upstream.clear()
            upstream.script(Status(500))
            upstream.script(Status(500))
            upstream.script(Chunk("at last"))
            with served.post(chat("stubborn")) as client:
                client.read_all()
    result = {"started": count.started, "ended": count.ended, "events": count.events}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
