"""Interleaved rounds: every subject once, then every subject again, so that a slow minute of the
machine falls on all of them."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench import measures
from bench.load import Call, LoadError
from bench.measures import Bench
from bench.process import Server, cores, free_port
from bench.subjects import SERVERS, SUBJECTS, Subject
from bench.subjects.environments import PEERS

__all__ = ["Plan", "Results", "run", "start_upstream"]

JSON_SIZES = (1_000, 10_000, 100_000)
_MODES = {
    "flat": f"flat:{measures.TOKENS}",
    "one_token": "flat:1",
    "paced": f"paced:{measures.RATE}:0",
    "ramp": f"paced:{measures.RATE}:0",
    "idle_memory": "idle",
    "structured": "json",
    "workers": f"flat:{measures.TOKENS}",
}


@dataclass(frozen=True)
class Plan:
    """What to run."""

    subjects: Sequence[Subject]
    measures: Sequence[str]
    rounds: int
    quick: bool
    idle_streams: int


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
                self._measure(subject, server, names)

    def _measure(self, subject: Subject, server: Server, names: Sequence[str]) -> None:
        for name in names:
            if name in subject.measures:
                for figures in self._once(subject, server, name):
                    self._results.add(subject.name, figures)
                    shown = "  ".join(f"{key} {value:,.4g}" for key, value in figures.items())
                    print(f"  {subject.name:<24} {shown}", flush=True)

    def _once(self, subject: Subject, server: Server, name: str) -> list[dict[str, float]]:
        def bench(mode: str) -> Bench:
            call = subject.call(server.port, mode)
            return Bench(call, server, self._upstream, os.getpid(), self._plan.quick)

        plain = bench(_MODES[name])
        gc.collect()
        try:
            if name == "structured":
                sizes = JSON_SIZES[:2] if self._plan.quick else JSON_SIZES
                return [
                    {
                        f"{key}_{size // 1000}k": value
                        for key, value in _await(lambda size=size: measures.structured(plain, size=size)).items()
                    }
                    for size in sizes
                ]
            if name == "idle_memory":
                count = self._plan.idle_streams
                return [_await(lambda: measures.idle_memory(plain, streams=count))]
            function = {
                "flat": measures.flat,
                "one_token": measures.one_token,
                "paced": measures.paced,
                "ramp": measures.ramp,
            }[name]
            return [_await(lambda: function(plain))]
        except (LoadError, OSError, EOFError, TimeoutError) as error:
            self._failed(subject.name, name, error)
            return []

    def _two_workers(self, subject: Subject) -> None:
        """One core for everything against two cores for everything.

        The clients and the upstream share the server's cores in both cases: on a machine of two
        cores nothing else would be a comparison of like with like.
        """
        kind = SERVERS[subject.server]
        if not kind.takes_workers:
            return
        own = os.sched_getaffinity(0)
        figures: dict[str, float] = {}
        for workers in (1, 2):
            used = list(cores_all(own | {self._core}))[:workers]
            self._place(used)
            try:
                with kind.start(used, self._upstream.port, workers=workers) as server:
                    call = subject.call(server.port, _MODES["workers"])
                    bench = Bench(call, server, self._upstream, os.getpid(), self._plan.quick)
                    figures[f"tokens_per_s_on_{workers}"] = _await(
                        lambda: measures.flat(bench, streams=64)
                    )["tokens_per_s"]
            except (LoadError, OSError, RuntimeError, TimeoutError) as error:
                self._failed(subject.name, f"{workers} workers", error)
        self._place(list(own))
        if len(figures) == 2:
            figures["two_worker_ratio"] = figures["tokens_per_s_on_2"] / figures["tokens_per_s_on_1"]
            self._results.add(subject.name, figures)
            print(f"  {subject.name:<24} {figures}", flush=True)

    def _place(self, used: Sequence[int]) -> None:
        os.sched_setaffinity(0, set(used))
        for pid in self._upstream.pids():
            os.sched_setaffinity(pid, set(used))

    def _failed(self, subject: str, what: str, error: BaseException) -> None:
        line = f"{subject}, {what}: {measures.failure_text(error)}"
        self._results.failures.append(line)
        print(f"  FAILED {line}", flush=True)


def cores_all(among: set[int]) -> list[int]:
    """Cores in order."""
    return sorted(among)


def _await(function: Callable[[], Awaitable[dict[str, float]]]) -> dict[str, float]:
    async def main() -> dict[str, float]:
        async with asyncio.timeout(300):
            return await function()

    return uvloop.run(main())
