from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import Usage
from launchpad.observe.metrics import MAX_SERIES, Metrics
from launchpad.observe.metrics import metrics as process_metrics
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

DEMO = (("workflow", "DemoWorkflow"),)


def test_a_run_is_counted_from_start_to_end() -> None:
    metrics = Metrics()
    metrics.run_started("DemoWorkflow")
    metrics.run_started("DemoWorkflow")
    assert metrics.active_runs == 2
    metrics.first_content("DemoWorkflow", 0.02)
    metrics.run_ended("DemoWorkflow", "completed", 1.5, Usage(10, 20))
    metrics.run_ended("DemoWorkflow", "cancelled", 0.5)
    seen = metrics.snapshot()
    assert metrics.active_runs == 0
    assert seen["launchpad_runs_started_total"] == {DEMO: 2}
    assert seen["launchpad_runs_completed_total"] == {DEMO: 1}
    assert seen["launchpad_runs_cancelled_total"] == {DEMO: 1}
    assert seen["launchpad_runs_failed_total"] == {DEMO: 0}
    assert seen["launchpad_output_tokens_total"] == {DEMO: 20}
    assert seen["launchpad_run_duration_seconds_sum"] == {DEMO: 2.0}
    assert seen["launchpad_first_content_seconds_count"] == {DEMO: 1}


def test_upstream_failures_are_counted_by_code() -> None:
    metrics = Metrics()
    metrics.upstream_error("upstream_timeout", "openai")
    metrics.upstream_error("upstream_timeout", "openai")
    metrics.retry("openai")
    metrics.fallback("anthropic")
    metrics.run_rejected("rate_limit_exceeded")
    text = metrics.render()
    line = 'launchpad_upstream_errors_total{code="upstream_timeout",provider="openai"} 2'
    assert line in text.splitlines()
    assert 'launchpad_retries_total{provider="openai"} 1' in text
    assert 'launchpad_fallbacks_total{provider="anthropic"} 1' in text
    assert 'launchpad_runs_rejected_total{code="rate_limit_exceeded"} 1' in text


def test_the_text_is_prometheus() -> None:
    metrics = Metrics()
    metrics.run_started('a"b\\c\nd')
    metrics.run_ended('a"b\\c\nd', "failed", 0.3)
    lines = metrics.render().splitlines()
    assert r'launchpad_runs_failed_total{workflow="a\"b\\c\nd"} 1' in lines
    assert "# TYPE launchpad_run_duration_seconds histogram" in lines
    buckets = [line for line in lines if line.startswith("launchpad_run_duration_seconds_bucket")]
    assert buckets[4].endswith(',le="0.25"} 0')
    assert buckets[5].endswith(',le="0.5"} 1')
    assert buckets[-1].endswith(',le="+Inf"} 1')
    assert metrics.render().endswith("\n")
    assert all(line.startswith("#") or line.rsplit(" ", 1)[1] for line in lines)


def test_labels_are_bounded_and_the_sum_stays_right() -> None:
    metrics = Metrics()
    for number in range(MAX_SERIES + 50):
        metrics.upstream_error(f"code_{number}")
        metrics.run_started(f"Workflow{number}")
    for number in range(MAX_SERIES + 50):
        metrics.run_ended(f"Workflow{number}", "completed", 0.1)
    series = metrics.snapshot()["launchpad_upstream_errors_total"]
    assert len(series) == MAX_SERIES + 1
    assert series[("code", "other"), ("provider", "other")] == 50
    assert metrics.active_runs == 0


def test_threads_lose_no_count() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(2000):
            metrics.run_started("DemoWorkflow")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.active_runs == 8000


def test_a_run_is_counted_from_its_start_over_its_first_content_to_its_end() -> None:
    class Twice(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield {"a": 1}
            yield "word"

    class CountedWorkflow(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema,
            start=Twice,
            nodes=[NodeConfig(node=Twice, connections=[Silent]), NodeConfig(node=Silent)],
        )

    CountedWorkflow().run({"messages": [{"role": "user", "content": "Hi"}]})
    counted = (("workflow", "CountedWorkflow"),)
    seen = process_metrics.snapshot()
    assert seen["launchpad_runs_started_total"][counted] == 1
    assert seen["launchpad_runs_completed_total"][counted] == 1
    assert seen["launchpad_first_content_seconds_count"][counted] == 1


class Silent(Node):
    async def process(self, task_context: TaskContext) -> None: ...
