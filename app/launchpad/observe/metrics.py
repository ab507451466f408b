"""Counters of this process, in Prometheus' text form. A run costs a few additions, a token none.

With several workers each process counts its own runs; a scrape sees the one that answers it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Literal

from launchpad.events import Usage

__all__ = ["CONTENT_TYPE", "Metrics", "metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_SERIES = 500
"""Label sets per metric; what comes after counts as `other`, so that no input grows memory."""
_OTHER = "other"
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds."""

RunStatus = Literal["completed", "failed", "cancelled"]
Labels = tuple[tuple[str, str], ...]

_RUN_COUNTERS = {
    "launchpad_runs_started_total": ("Runs that were started.", "started"),
    "launchpad_runs_completed_total": ("Runs that came to their end.", "completed"),
    "launchpad_runs_failed_total": ("Runs that ended with an error.", "failed"),
    "launchpad_runs_cancelled_total": (
        "Runs that were ended from outside: client gone, shutdown.",
        "cancelled",
    ),
    "launchpad_input_tokens_total": ("Tokens read, as upstreams reported them.", "tokens_in"),
    "launchpad_output_tokens_total": ("Tokens written, as upstreams reported them.", "tokens_out"),
}
"""By name: what it counts, and where `_Runs` has it."""
_COUNTERS = {
    "launchpad_runs_rejected_total": "Runs that found no place, by error code.",
    "launchpad_upstream_errors_total": "Failures of model providers, by error code.",
    "launchpad_retries_total": "Requests to a model provider that were tried again.",
    "launchpad_fallbacks_total": "Requests that went to a fallback model.",
}
_HISTOGRAMS = {
    "launchpad_run_duration_seconds": ("From a run's start to its end.", "duration"),
    "launchpad_first_content_seconds": ("From a run's start to its first content.", "first"),
}
_ACTIVE = "launchpad_runs_active"


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class _Runs:
    """The runs of one workflow. Plain attributes: each run comes by three times."""

    def __init__(self) -> None:
        self.started = self.completed = self.failed = self.cancelled = self.active = 0
        self.tokens_in = self.tokens_out = 0
        self.duration = _Histogram()
        self.first = _Histogram()


class Metrics:
    """Counts runs and upstream failures. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, int]] = {name: {} for name in _COUNTERS}
        self._runs: dict[str, _Runs] = {}

    def run_started(self, workflow: str) -> None:
        """A run began; `run_ended` must follow, whatever happens."""
        with self._lock:
            runs = self._runs.get(workflow) or self._runs_of(workflow)
            runs.started += 1
            runs.active += 1

    def first_content(self, workflow: str, seconds: float) -> None:
        """The run's first content was made, `seconds` after its start. Once a run."""
        with self._lock:
            runs = self._runs.get(workflow) or self._runs_of(workflow)
            runs.first.observe(seconds)

    def run_ended(
        self, workflow: str, status: RunStatus, seconds: float, usage: Usage | None = None
    ) -> None:
        """A run that `run_started` counted is over, after `seconds`."""
        with self._lock:
            runs = self._runs.get(workflow) or self._runs_of(workflow)
            runs.active -= 1
            if status == "completed":
                runs.completed += 1
            elif status == "failed":
                runs.failed += 1
            else:
                runs.cancelled += 1
            runs.duration.observe(seconds)
            if usage is not None:
                runs.tokens_in += usage.input_tokens
                runs.tokens_out += usage.output_tokens

    def run_rejected(self, code: str) -> None:
        """A run found no place: the server, or its key, was full, or the server shuts down."""
        self._count("launchpad_runs_rejected_total", (("code", code),))

    def upstream_error(self, code: str, provider: str = "") -> None:
        """A model provider failed; `code` is `UpstreamError.code`."""
        self._count("launchpad_upstream_errors_total", (("code", code), ("provider", provider)))

    def retry(self, provider: str) -> None:
        """A request to a model provider is tried again."""
        self._count("launchpad_retries_total", (("provider", provider),))

    def fallback(self, provider: str) -> None:
        """A fallback model of `provider` takes over."""
        self._count("launchpad_fallbacks_total", (("provider", provider),))

    @property
    def active_runs(self) -> int:
        """Runs that are going on now, of all workflows."""
        with self._lock:
            return sum(runs.active for runs in self._runs.values())

    def snapshot(self) -> dict[str, dict[Labels, float]]:
        """Every counter and gauge by name and labels; of histograms `_count` and `_sum`."""
        with self._lock:
            values: dict[str, dict[Labels, float]] = {
                name: dict(series) for name, series in self._all_counters().items()
            }
            values[_ACTIVE] = {_of(name): runs.active for name, runs in self._runs.items()}
            for name in _HISTOGRAMS:
                histograms = self._histograms(name)
                values[f"{name}_count"] = {k: sum(h.counts) for k, h in histograms.items()}
                values[f"{name}_sum"] = {k: h.total for k, h in histograms.items()}
            return values

    def render(self) -> str:
        """Prometheus' text exposition format 0.0.4; send it with `CONTENT_TYPE`."""
        with self._lock:
            texts = {**_COUNTERS, **{name: text for name, (text, _) in _RUN_COUNTERS.items()}}
            lines: list[str] = []
            for name, series in self._all_counters().items():
                lines += _head(name, texts[name], "counter")
                lines += [f"{name}{_shown(k)} {v}" for k, v in series.items()]
            lines += _head(_ACTIVE, "Runs that are going on.", "gauge")
            lines += [f"{_ACTIVE}{_shown(_of(n))} {runs.active}" for n, runs in self._runs.items()]
            for name, (text, _) in _HISTOGRAMS.items():
                lines += _head(name, text, "histogram")
                for labels, histogram in self._histograms(name).items():
                    lines += _histogram_lines(name, labels, histogram)
        return "\n".join(lines) + "\n"

    def _count(self, name: str, labels: Labels) -> None:
        with self._lock:
            series = self._counters[name]
            if labels not in series and len(series) >= MAX_SERIES:
                labels = tuple((name, _OTHER) for name, _ in labels)
            series[labels] = series.get(labels, 0) + 1

    def _runs_of(self, workflow: str) -> _Runs:
        if workflow not in self._runs and len(self._runs) >= MAX_SERIES:
            workflow = _OTHER
        return self._runs.setdefault(workflow, _Runs())

    def _all_counters(self) -> dict[str, dict[Labels, int]]:
        # A workflow's are there from its first run on, with 0: a rate needs to see them begin.
        of_runs: dict[str, dict[Labels, int]] = {
            name: {_of(one): getattr(runs, where) for one, runs in self._runs.items()}
            for name, (_, where) in _RUN_COUNTERS.items()
        }
        return {**of_runs, **self._counters}

    def _histograms(self, name: str) -> dict[Labels, _Histogram]:
        _, where = _HISTOGRAMS[name]
        found = {_of(one): getattr(runs, where) for one, runs in self._runs.items()}
        return {labels: histogram for labels, histogram in found.items() if any(histogram.counts)}


def _of(workflow: str) -> Labels:
    return (("workflow", workflow),)


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _histogram_lines(name: str, labels: Labels, histogram: _Histogram) -> list[str]:
    lines: list[str] = []
    total = 0
    for bound, count in zip((*map(repr, BUCKETS), "+Inf"), histogram.counts, strict=True):
        total += count
        lines.append(f"{name}_bucket{_shown((*labels, ('le', bound)))} {total}")
    lines.append(f"{name}_sum{_shown(labels)} {histogram.total!r}")
    lines.append(f"{name}_count{_shown(labels)} {total}")
    return lines


def _shown(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


metrics = Metrics()
"""The process's counters."""
