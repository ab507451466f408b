"""How long the commands take to start, against the bare imports that they cannot avoid."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.asking import ask, get
from bench.process import Server
from bench.subjects import SERVERS, SUBJECTS

__all__ = ["measure"]

IMPORTS = "import fastapi, pydantic_ai.models.openai"


def _pinned(core: int, argv: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(
        argv,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return time.monotonic() - started


def _first_answer(core: int, upstream: Server) -> float:
    """Seconds from the command's start to the end of the first streamed answer."""
    started = time.monotonic()
    with SERVERS["launchpad"].start(core, upstream.port, poll=0.005) as server:
        ask(SUBJECTS["launchpad"].call(server.port, "flat:1"))
        return time.monotonic() - started


def _first_requests(core: int, upstream: Server) -> tuple[float, float]:
    """Seconds of the first and of the second run of a server that is up."""
    with SERVERS["launchpad"].start(core, upstream.port) as server:
        get(server.port, "/health")
        call = SUBJECTS["launchpad"].call(server.port, "flat:1")
        started = time.monotonic()
        ask(call)
        between = time.monotonic()
        ask(call)
        return between - started, time.monotonic() - between


def _median(function: Callable[[], float], rounds: int) -> float:
    return statistics.median(function() for _ in range(rounds))


def measure(core: int, upstream: Server, *, rounds: int) -> dict[str, float]:
    """Seconds for each way to start, the first run (it fills the file cache) left out."""
    launchpad = str(Path(sys.executable).parent / "launchpad")
    bare = [sys.executable, "-c", IMPORTS]
    shown = [launchpad, "--help"]
    for command in (bare, shown):
        _pinned(core, command)
    imports = _median(lambda: _pinned(core, bare), rounds)
    found = {
        f"`{IMPORTS}`, s": imports,
        "`launchpad --help`, s": _median(lambda: _pinned(core, shown), rounds),
    }
    first = _median(lambda: _first_answer(core, upstream), rounds)
    pairs = [_first_requests(core, upstream) for _ in range(rounds)]
    alone, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    found["`launchpad serve` to its first answer, s"] = first
    found["that, in terms of the imports"] = first / imports
    found["the first request once it is up, ms"] = alone * 1e3
    found["the second request, ms"] = second * 1e3
    return found
