"""Counters of this process, in Prometheus' text form. A run costs a few additions, a token none.

With several workers each process counts its own runs; a scrape sees the one that answers it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from typing import Literal

from launchpad.events import Usage

__all__ = ["CONTENT_TYPE", "Metrics", "metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_SERIES = 500
"""Label sets per metric; what comes after counts as `other`, so that no input grows memory."""
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds."""

RunStatus = Literal["completed", "failed", "cancelled"]
Labels = tuple[tuple[str, str], ...]

_COUNTERS = {
    "launchpad_runs_started_total": "Runs that were started.",
    "launchpad_runs_completed_total": "Runs that came to their end.",
    "launchpad_runs_failed_total": "Runs that ended with an error.",
    "launchpad_runs_cancelled_total": "Runs that were ended from outside: client gone, shutdown.",
    "launchpad_runs_rejected_total": "Requests refused before a run, by error code.",
    "launchpad_upstream_errors_total": "Failures of model providers, by error code.",
    "launchpad_retries_total": "Requests to a model provider that were tried again.",
    "launchpad_fallbacks_total": "Requests that went to a fallback model.",
    "launchpad_input_tokens_total": "Tokens read, as upstreams reported them.",
    "launchpad_output_tokens_total": "Tokens written, as upstreams reported them.",
}
_HISTOGRAMS = {
    "launchpad_run_duration_seconds": "From a run's start to its end.",
    "launchpad_first_content_seconds": "From a run's start to its first content.",
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


class Metrics:
    """Counts runs and upstream failures. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, int]] = {name: {} for name in _COUNTERS}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {name: {} for name in _HISTOGRAMS}
        self._active: dict[Labels, int] = {}

    def run_started(self, workflow: str) -> None:
        """A run began; `run_ended` must follow, whatever happens."""
        labels = (("workflow", workflow),)
        with self._lock:
            self._add("launchpad_runs_started_total", labels)
            _bump(self._active, labels, 1)

    def first_content(self, workflow: str, seconds: float) -> None:
        """The run's first content was made, `seconds` after its start. Once a run."""
        with self._lock:
            self._observe("launchpad_first_content_seconds", workflow, seconds)

    def run_ended(
        self, workflow: str, status: RunStatus, seconds: float, usage: Usage | None = None
    ) -> None:
        """A run that `run_started` counted is over, after `seconds`."""
        labels = (("workflow", workflow),)
        with self._lock:
            self._add(f"launchpad_runs_{status}_total", labels)
            _bump(self._active, labels, -1)
            self._observe("launchpad_run_duration_seconds", workflow, seconds)
            if usage is not None:
                self._add("launchpad_input_tokens_total", labels, usage.input_tokens)
                self._add("launchpad_output_tokens_total", labels, usage.output_tokens)

    def run_rejected(self, code: str) -> None:
        """A request was refused before its run: overload, no key, a bad request."""
        with self._lock:
            self._add("launchpad_runs_rejected_total", (("code", code),))

    def upstream_error(self, code: str, provider: str = "") -> None:
        """A model provider failed; `code` is `UpstreamError.code`."""
        with self._lock:
            labels = (("code", code), ("provider", provider))
            self._add("launchpad_upstream_errors_total", labels)

    def retry(self, provider: str) -> None:
        """A request to a model provider is tried again."""
        with self._lock:
            self._add("launchpad_retries_total", (("provider", provider),))

    def fallback(self, provider: str) -> None:
        """A fallback model of `provider` takes over."""
        with self._lock:
            self._add("launchpad_fallbacks_total", (("provider", provider),))

    @property
    def active_runs(self) -> int:
        """Runs that are going on now, of all workflows."""
        with self._lock:
            return sum(self._active.values())

    def snapshot(self) -> dict[str, dict[Labels, float]]:
        """Every counter and gauge by name and labels; of histograms `_count` and `_sum`."""
        with self._lock:
            values: dict[str, dict[Labels, float]] = {
                name: dict(series) for name, series in self._counters.items()
            }
            values[_ACTIVE] = dict(self._active)
            for name, histograms in self._histograms.items():
                values[f"{name}_count"] = {k: sum(h.counts) for k, h in histograms.items()}
                values[f"{name}_sum"] = {k: h.total for k, h in histograms.items()}
            return values

    def render(self) -> str:
        """Prometheus' text exposition format 0.0.4; send it with `CONTENT_TYPE`."""
        with self._lock:
            lines: list[str] = []
            for name, text in _COUNTERS.items():
                lines += _head(name, text, "counter")
                lines += [f"{name}{_shown(k)} {v}" for k, v in self._counters[name].items()]
            lines += _head(_ACTIVE, "Runs that are going on.", "gauge")
            lines += [f"{_ACTIVE}{_shown(k)} {v}" for k, v in self._active.items()]
            for name, text in _HISTOGRAMS.items():
                lines += _head(name, text, "histogram")
                for labels, histogram in self._histograms[name].items():
                    lines += _histogram_lines(name, labels, histogram)
        return "\n".join(lines) + "\n"

    def _add(self, name: str, labels: Labels, amount: int = 1) -> None:
        _bump(self._counters[name], labels, amount)

    def _observe(self, name: str, workflow: str, seconds: float) -> None:
        series = self._histograms[name]
        labels = _bounded(series, (("workflow", workflow),))
        if labels not in series:
            series[labels] = _Histogram()
        series[labels].observe(seconds)


def _bump(series: dict[Labels, int], labels: Labels, amount: int) -> None:
    labels = _bounded(series, labels)
    series[labels] = series.get(labels, 0) + amount


def _bounded(series: Mapping[Labels, object], labels: Labels) -> Labels:
    if labels in series or len(series) < MAX_SERIES:
        return labels
    return tuple((name, "other") for name, _ in labels)


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
