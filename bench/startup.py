"""How long the commands take to start, against the bare imports that they cannot avoid."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.http import ask
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


def _first_answer(core: int, upstream: Server) -> tuple[float, float, float]:
    """Seconds from the start to the end of the first answer; that request's own; a second one's."""
    started = time.monotonic()
    with SERVERS["launchpad"].start(core, upstream.port, poll=0.005) as server:
        call = SUBJECTS["launchpad"].call(server.port, "flat:1")
        asked = time.monotonic()
        ask(call)
        answered = time.monotonic()
        ask(call)
        return answered - started, answered - asked, time.monotonic() - answered


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
    answers = [_first_answer(core, upstream) for _ in range(rounds)]
    first, alone, second = (statistics.median(column) for column in zip(*answers, strict=True))
    found["`launchpad serve` to its first answer, s"] = first
    found["that, in terms of the imports"] = first / imports
    found["its first request alone, ms"] = alone * 1e3
    found["its second request, ms"] = second * 1e3
    return found
