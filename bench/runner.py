"""Interleaved rounds: every subject once, then every subject again.

So a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from bench import measures, pace
from bench.asking import ask, get
from bench.load import LoadError
from bench.measures import Bench
from bench.process import Server, cores, free_port
from bench.subjects import SERVERS, Subject
from bench.subjects.environments import PEERS

__all__ = ["Plan", "Results", "run", "start_upstream"]

JSON_SIZES = (1_000, 10_000, 100_000)
_MODES = {
    "flat": f"flat:{measures.TOKENS}",
    "one_token": "flat:1",
    "paced": f"paced:{pace.RATE}:0",
    "ramp": f"paced:{pace.RATE}:0",
    "idle_memory": "idle",
    "structured": "json",
    "workers": f"flat:{measures.TOKENS}",
}


_SIMPLE: dict[str, Callable[[Bench], Coroutine[Any, Any, dict[str, float]]]] = {
    "flat": measures.flat,
    "one_token": measures.one_token,
    "paced": pace.paced,
    "ramp": pace.ramp,
}


@dataclass(frozen=True)
class Plan:
    """What to run."""

    subjects: Sequence[Subject]
    measures: Sequence[str]
    rounds: int
    quick: bool


@dataclass
class Results:
    """Every figure of every round: `figures[subject][name]` is a list, one value a round."""

    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, subject: str, figures: dict[str, float]) -> None:
        """Note one round's figures."""
        for name, value in figures.items():
            self.figures.setdefault(subject, {}).setdefault(name, []).append(value)


def start_upstream(core: int) -> Server:
    """The bench's upstream, pinned and listening."""
    port = free_port()
    server = Server(
        [sys.executable, "-m", "bench.upstream", str(port)],
        port=port,
        cores=[core],
        environ={"PATH": os.environ.get("PATH", "")},
        log=PEERS / "logs" / "upstream.log",
        cwd=Path(__file__).resolve().parent.parent,
    )
    server.wait_until_listening()
    return server


def run(plan: Plan) -> Results:
    """Run the plan; a subject that fails is noted and the rest go on."""
    results = Results()
    server_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    with start_upstream(load_core) as upstream:
        for number in range(plan.rounds):
            print(f"Round {number + 1} of {plan.rounds}", flush=True)
            for kind in dict.fromkeys(subject.server for subject in plan.subjects):
                subjects = [subject for subject in plan.subjects if subject.server == kind]
                _Round(plan, results, upstream, server_core).run(kind, subjects)
    return results


class _Round:
    """One server kind's turn."""

    def __init__(self, plan: Plan, results: Results, upstream: Server, core: int) -> None:
        self._plan = plan
        self._results = results
        self._upstream = upstream
        self._core = core

    def run(self, kind: str, subjects: Sequence[Subject]) -> None:
        shared = [name for name in self._plan.measures if name not in ("idle_memory", "workers")]
        if any(name in subject.measures for subject in subjects for name in shared):
            self._with_server(kind, subjects, shared)
        for subject in subjects:
            if "idle_memory" in self._plan.measures and "idle_memory" in subject.measures:
                self._with_server(kind, [subject], ["idle_memory"])
            if "workers" in self._plan.measures and "workers" in subject.measures:
                self._two_workers(subject)

    def _with_server(self, kind: str, subjects: Sequence[Subject], names: Sequence[str]) -> None:
        if not kind:  # the upstream itself
            for subject in subjects:
                self._measure(subject, self._upstream, names)
            return
        try:
            server = SERVERS[kind].start(self._core, self._upstream.port)
        except (OSError, RuntimeError) as error:
            self._failed(kind, "start", error)
            return
        with server:
            for subject in subjects:
                if self._answers(subject, server):
                    self._measure(subject, server, names)

    def _answers(self, subject: Subject, server: Server) -> bool:
        """Wait for a first answer: a server may listen before it is ready."""
        mode = "json:200" if "structured" in subject.measures else "flat:1"
        get(self._upstream.port, f"/mode/{mode}")
        try:
            ask(subject.call(server.port, mode))
        except (LoadError, OSError) as error:
            said = "" if server.alive() else f" The server died: {server.said()}"
            self._failed(subject.name, "its first answer", LoadError(f"{error!r}.{said}"))
            return False
        return True

    def _measure(self, subject: Subject, server: Server, names: Sequence[str]) -> None:
        for name in names:
            if name in subject.measures:
                for figures in self._once(subject, server, name):
                    self._note(subject, figures)

    def _once(self, subject: Subject, server: Server, name: str) -> list[dict[str, float]]:
        """A measurement's figures; none where it failed. `structured` has one set a size."""
        call = subject.call(server.port, _MODES[name])
        bench = Bench(call, server, self._upstream, os.getpid(), self._plan.quick)
        gc.collect()
        try:
            if name == "structured":
                sizes = JSON_SIZES[:2] if self._plan.quick else JSON_SIZES
                return [_await(measures.structured(bench, size=size)) for size in sizes]
            if name == "idle_memory":
                count = 200 if self._plan.quick else subject.idle_streams
                return [_await(measures.idle_memory(bench, streams=count))]
            return [_await(_SIMPLE[name](bench))]
        except (LoadError, OSError, EOFError, TimeoutError) as error:
            self._failed(subject.name, name, error)
            return []

    def _two_workers(self, subject: Subject) -> None:
        """One core for everything against two cores for everything.

        The clients and the upstream share the server's cores in both cases: on a machine of two
        cores nothing else would be a comparison of like with like.
        """
        own = os.sched_getaffinity(0)
        rates = []
        try:
            for workers in (1, 2):
                used = sorted(own | {self._core})[:workers]
                self._place(used)
                rates.append(self._rate(subject, used, workers))
        except (LoadError, OSError, EOFError, RuntimeError, TimeoutError) as error:
            self._failed(subject.name, "workers", error)
            return
        finally:
            self._place(list(own))
        one, two = rates
        figures = {
            "tokens_per_s_on_1": one,
            "tokens_per_s_on_2": two,
            "two_worker_ratio": two / one,
        }
        self._note(subject, figures)

    def _rate(self, subject: Subject, used: Sequence[int], workers: int) -> float:
        with SERVERS[subject.server].start(used, self._upstream.port, workers=workers) as server:
            if not self._answers(subject, server):
                raise LoadError("No answer.")
            call = subject.call(server.port, _MODES["workers"])
            bench = Bench(call, server, self._upstream, os.getpid(), self._plan.quick)
            return _await(measures.flat(bench, streams=64))["tokens_per_s"]

    def _note(self, subject: Subject, figures: dict[str, float]) -> None:
        self._results.add(subject.name, figures)
        shown = "  ".join(f"{key} {value:,.4g}" for key, value in figures.items())
        print(f"  {subject.name:<24} {shown}", flush=True)

    def _place(self, used: Sequence[int]) -> None:
        os.sched_setaffinity(0, set(used))
        for pid in self._upstream.pids():
            os.sched_setaffinity(pid, set(used))

    def _failed(self, subject: str, what: str, error: BaseException) -> None:
        line = f"{subject}, {what}: {measures.failure_text(error)}"
        self._results.failures.append(line)
        print(f"  FAILED {line}", flush=True)


def _await(measure: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    async def main() -> dict[str, float]:
        async with asyncio.timeout(600):
            return await measure

    return uvloop.run(main())
