"""`python -m bench.pair CHECKOUT`: what a one-token request costs in another checkout, and here.

Two starts of one server differ by more than a small step brings: where their memory lies is luck,
and so is the minute. So both run on one core and are asked in blocks by turns, and both are started
anew several times. CHECKOUT has an environment of its own (`make setup` there).
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

import uvloop

from bench.asking import ask, get
from bench.awake import awake
from bench.load import Call, Client, Load, connect
from bench.process import Server, cores
from bench.runner import start_upstream
from bench.subjects import SERVERS, SUBJECTS, Subject

WARM_UP = 300
"""Requests that are not counted."""
BLOCK = 40
"""Requests to one server before it is the other's turn, behind five that warm it up again."""
BLOCKS = 20
TRIMMED = 10
"""One in this many blocks is left out at either end."""

Pair = tuple[float, float]
"""What one request costs more here than there: milliseconds of CPU, and to the first token."""


class _Asker:
    """One client of one server, asking one request after the other."""

    def __init__(self, server: Server, call: Call) -> None:
        self._server = server
        self._call = call
        self._load = Load()
        self._ended = asyncio.Event()
        self._client: Client | None = None

    async def ask(self, count: int) -> Pair:
        """Milliseconds of CPU a request, and to the first token in the median."""
        if self._client is None:
            self._client = await connect(self._call, self._load, lambda _: self._ended.set())
        self._load.first_token = array("d")
        before = self._server.cpu()
        for _ in range(count):
            self._ended.clear()
            self._client.send(self._call.raw)
            await self._ended.wait()
        used = self._server.cpu() - before
        return used / count * 1e3, median(self._load.first_token) * 1e3


async def _compare(askers: Sequence[_Asker]) -> Pair:
    for asker in askers:
        await asker.ask(WARM_UP)
    differences: list[Pair] = []
    for block in range(BLOCKS):
        took: dict[int, Pair] = {}
        for which in (0, 1) if block % 2 == 0 else (1, 0):
            await askers[which].ask(5)
            took[which] = await askers[which].ask(BLOCK)
        differences.append((took[1][0] - took[0][0], took[1][1] - took[0][1]))
    return _trimmed([cpu for cpu, _ in differences]), _trimmed([first for _, first in differences])


def _trimmed(values: Sequence[float]) -> float:
    cut = len(values) // TRIMMED
    return mean(sorted(values)[cut : len(values) - cut])


def _started(checkouts: Sequence[Path], subject: Subject, rest: float, swap: bool) -> Pair:
    core, other = cores()
    os.sched_setaffinity(0, {other})
    kind = SERVERS[subject.server]
    first, second = [path / ".venv" / "bin" / "python" for path in checkouts[:: -1 if swap else 1]]
    with (
        start_upstream(other) as upstream,
        kind.start(core, upstream.port, interpreter=first) as one,
        kind.start(core, upstream.port, interpreter=second) as two,
    ):
        get(upstream.port, "/mode/flat:1")
        time.sleep(rest)
        servers = (two, one) if swap else (one, two)
        for server in servers:
            ask(subject.call(server.port, "flat:1"))
        askers = [_Asker(server, subject.call(server.port, "flat:1")) for server in servers]
        return uvloop.run(_compare(askers))


def _shown(name: str, values: Sequence[float]) -> str:
    spread = math.dist(values, [mean(values)] * len(values))
    error = spread / math.sqrt(len(values) * max(1, len(values) - 1))
    return f"{name} {mean(values) * 1e3:+.1f} ± {error * 1e3:.1f} µs"


def main(argv: Sequence[str] | None = None) -> int:
    """Say how much more a request costs here."""
    parser = argparse.ArgumentParser(prog="bench.pair", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other one")
    parser.add_argument("--subject", default="launchpad-chat", choices=sorted(SUBJECTS))
    parser.add_argument("--starts", type=int, default=8, help="of both servers (8)")
    parser.add_argument("--rest", type=float, default=0.3, help="seconds before the first request")
    options = parser.parse_args(argv)
    here = Path(__file__).resolve().parent.parent
    checkouts = (options.checkout.resolve(), here)
    subject = SUBJECTS[options.subject]
    seen: list[Pair] = []
    for start in range(options.starts):
        with awake():
            seen.append(_started(checkouts, subject, options.rest, start % 2 == 1))
        used, waited = (one * 1e3 for one in seen[-1])
        print(f"start {start + 1}: CPU {used:+.1f}, first token {waited:+.1f} µs", file=sys.stderr)
    cpu, first = [list(one) for one in zip(*seen, strict=True)]
    print(f"{subject.name}, here: {_shown('CPU', cpu)}, {_shown('first token', first)} a request")
    return 0


if __name__ == "__main__":
    sys.exit(main())
