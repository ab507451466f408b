"""`python -m bench --profile`: where the time of a token, and of a request, goes.

Three views. *Stages*: the pure parts alone, timed. *Server*: a running server under cProfile, its
own time summed by package; cProfile makes small Python functions look dearer than they are, so
these are shares and not microseconds. *Whole*: the same load without a profiler.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pstats
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import measures
from bench.asking import ask
from bench.load import Load, connect
from bench.measures import Bench
from bench.process import Server, cores
from bench.report import machine, table
from bench.runner import start_upstream
from bench.stages import STAGES, Stage
from bench.subjects import SERVERS, SUBJECTS, Subject
from bench.subjects.environments import PEERS
from bench.subjects.servers import ServerKind, profiled_launchpad

__all__ = ["run"]

PROFILE = PEERS / "profile.out"
SUBJECTS_SHOWN = ("launchpad", "launchpad-chat")
_PACKAGES = (
    "pydantic_ai", "pydantic_graph", "pydantic_core", "pydantic", "openai", "httptools",
    "uvicorn", "starlette", "fastapi", "uvloop", "asyncio", "opentelemetry", "msgspec", "httptools",
)  # fmt: skip


def run(*, quick: bool) -> str:
    """Profile and return the report as Markdown."""
    lines = [f"{machine()}.", "", *_stage_table(quick)]
    server_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    with start_upstream(load_core) as upstream:
        for name in SUBJECTS_SHOWN:
            for mode in ("flat:500", "flat:1"):
                lines += _server_view(SUBJECTS[name], mode, upstream, server_core, quick=quick)
    return "\n".join(lines)


def _stage_table(quick: bool) -> list[str]:
    rows: list[list[str]] = []
    for stage in STAGES:
        sizes = (250, 2_500, 25_000) if stage.name.startswith(("lex", "valid")) else (6_400,)
        rows += [
            [stage.title, f"{tokens:,}", f"{_time(stage, tokens):.3f}"]
            for tokens in sizes[: 2 if quick else 3]
        ]
    return table(["stage", "tokens a stream", "µs a token"], rows)


def _time(stage: Stage, tokens: int, seconds: float = 0.3) -> float:
    """The best of several runs, in microseconds a token."""
    best = float("inf")
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or best == float("inf"):
        run = stage.prepare(tokens)
        gc.collect()
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best / tokens * 1e6


def _server_view(
    subject: Subject, mode: str, upstream: Server, core: int, *, quick: bool
) -> list[str]:
    streams = 32 if mode == "flat:500" else 1
    seconds = 2.0 if quick else 6.0
    per = "token" if streams > 1 else "request"
    with SERVERS[subject.server].start(core, upstream.port) as server:
        bench = Bench(subject.call(server.port, mode), server, upstream, os.getpid(), quick=quick)
        whole = uvloop.run(_drive(bench, mode, streams, seconds, None))
    kind = ServerKind(
        "profiled", profiled_launchpad(PROFILE), None, SERVERS[subject.server].environ
    )
    with kind.start(core, upstream.port) as server:
        bench = Bench(subject.call(server.port, mode), server, upstream, os.getpid(), quick=quick)
        under = uvloop.run(_drive(bench, mode, streams, seconds, signal.SIGUSR1))
        server.stop(gently=True)
    head = (
        f"\n### {subject.title}: a {per}\n\n{whole:.2f} µs of CPU; {under:.2f} under the profiler."
    )
    return [head, "", *_packages(whole), "", *_functions(whole)]


async def _drive(
    bench: Bench, mode: str, streams: int, seconds: float, mark: signal.Signals | None
) -> float:
    """CPU microseconds a token under steady load; `mark` tells the server that it begins."""
    await bench.mode(mode)
    await asyncio.to_thread(ask, bench.call)
    load = Load()
    clients = [
        await connect(bench.call, load, lambda client: client.send(bench.call.raw))
        for _ in range(streams)
    ]
    for client in clients:
        client.send(bench.call.raw)
    await asyncio.sleep(1.5)
    if mark is not None:
        for pid in bench.server.pids():
            os.kill(pid, mark)
    tokens, cpu = load.tokens, bench.server.cpu()
    await asyncio.sleep(seconds)
    used = bench.server.cpu() - cpu
    passed = load.tokens - tokens
    measures.close(clients)
    measures.check(load)
    return used / max(1, passed) * 1e6


def _place(file: str, name: str) -> str:
    """The package that a profile's entry belongs to; Launchpad's is split by room."""
    path = Path(file)
    if "launchpad" in path.parts and "site-packages" not in path.parts:
        at = len(path.parts) - 1 - path.parts[::-1].index("launchpad")
        return "launchpad." + path.parts[at + 1].removesuffix(".py")
    for package in _PACKAGES:
        if package in path.parts or f"{package}." in name or f"'{package}" in name:
            return package
    return "builtins" if file in {"~", ""} else "other Python"


def _stats() -> dict[tuple[str, int, str], tuple[int, float]]:
    raw = pstats.Stats(str(PROFILE)).stats  # type: ignore[attr-defined]  # it has no public name
    return {key: (entry[1], entry[2]) for key, entry in raw.items() if not _waiting(key)}


def _waiting(key: tuple[str, int, str]) -> bool:
    """Entries whose own time is the event loop's waiting."""
    file, _, name = key
    return "uvloop" in name or (file.endswith("runners.py") and name == "run")


def _packages(whole: float) -> list[str]:
    sums: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, own) in _stats().items():
        sums[_place(file, name)] += own
    total = sum(sums.values()) or 1
    ordered = sorted(sums.items(), key=lambda one: -one[1])
    rows = [[n, f"{own / total:.1%}", f"{own / total * whole:.2f}"] for n, own in ordered[:14]]
    return table(["own time in", "share", "µs of the whole"], rows)


def _functions(whole: float) -> list[str]:
    found = _stats()
    total = sum(own for _, own in found.values()) or 1
    ordered: Sequence[tuple[tuple[str, int, str], tuple[int, float]]] = sorted(
        found.items(), key=lambda one: -one[1][1]
    )
    rows = []
    for (file, line, name), (calls, own) in ordered[:25]:
        where = f"{Path(file).name}:{line} " if file != "~" else ""
        share = own / total
        rows.append([f"{where}`{name}`", f"{calls:,}", f"{share:.1%}", f"{share * whole:.2f}"])
    return table(["function", "calls", "share", "µs of the whole"], rows)
