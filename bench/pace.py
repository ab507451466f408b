"""Steady streams: what a server adds to each token, and how many streams it holds."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from dataclasses import dataclass

from bench.load import Load, connect, quantile
from bench.measures import Bench, Figures, Meter, check, close

__all__ = ["RATE", "paced", "ramp"]

RATE = 50
"""Tokens a second of each stream."""


@dataclass(frozen=True)
class _Pace:
    load: Load
    expected: float
    wall: float
    server: float
    upstream: float
    own: float

    @property
    def complete(self) -> bool:
        """Whether (nearly) every token came; the last in flight are allowed to miss."""
        return not self.load.failures and self.load.tokens >= 0.97 * self.expected


async def _pace(bench: Bench, streams: int, *, hold: float, skip_ramp: bool) -> _Pace:
    """Start `streams` streams of RATE tokens/s within one second and hold them."""
    await bench.mode(f"paced:{RATE}:0")
    load = Load(stamps=True)
    clients = [await connect(bench.call, load) for _ in range(streams)]
    gc.collect()
    gc.disable()  # a collection in this process would be counted as the subject's latency
    try:
        meter, began = Meter(bench), time.monotonic()
        dice = random.Random(streams)
        # Evenly, each at any moment of its share: no burst, and no phase that they have in common.
        moments = [(number + dice.random()) / streams for number in range(streams)]
        for moment, client in zip(moments, clients, strict=True):
            await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
            client.send(bench.call.raw)
        await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))
        if skip_ramp:
            await asyncio.sleep(1.0)
            load.tokens = 0
            load.latencies = type(load.latencies)("d")
            meter = Meter(bench)
        started = time.monotonic()
        await asyncio.sleep(hold)
        wall, server, upstream, own = meter.stop()
        held = time.monotonic() - started
        expected = streams * RATE * (held if skip_ramp else held + 0.5)
        close(clients)
        await asyncio.sleep(0.3)
    finally:
        gc.enable()
    return _Pace(load, expected, wall, server, upstream, own)


async def paced(bench: Bench, *, streams: int = 100) -> Figures:
    """Latency added to each token of steady streams."""
    result = await _pace(bench, streams, hold=2.0 if bench.quick else 6.0, skip_ramp=True)
    check(result.load)
    latencies = result.load.latencies
    return {
        "added_p50_ms": quantile(latencies, 0.5) * 1e3,
        "added_p99_ms": quantile(latencies, 0.99) * 1e3,
        "added_max_ms": max(latencies, default=float("nan")) * 1e3,
        "arrived_share": result.load.tokens / result.expected,
        "paced_cpu_us_per_token": result.server / max(1, result.load.tokens) * 1e6,
        "paced_load_share": (result.own + result.upstream) / result.wall,
    }


async def ramp(bench: Bench, *, start: int = 32, limit_ms: float = 20.0) -> Figures:
    """The most streams, all started within one second, whose p99 of added latency is held.

    Every token counts, from the first on. Doubles until it fails, then halves the interval down
    to 3 %. A number that fails is tried once more: one hiccup of the machine is not a limit.
    """
    hold = 2.0 if bench.quick else 4.0
    busiest = 0.0

    async def holds(streams: int) -> bool:
        nonlocal busiest
        for _ in range(1 if bench.quick else 2):
            result = await _pace(bench, streams, hold=hold, skip_ramp=False)
            busiest = max(busiest, (result.own + result.upstream) / result.wall)
            if result.complete and quantile(result.load.latencies, 0.99) * 1e3 <= limit_ms:
                return True
        return False

    await _pace(bench, 8, hold=0.5, skip_ramp=False)  # a server's first streams are its slowest
    good, bad = 0, start
    while bad <= 4096 and await holds(bad):
        good, bad = bad, bad * 2
    while bad - good > max(1, good * (0.1 if bench.quick else 0.03)):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if await holds(middle) else (good, middle)
    return {"held_streams": float(good), "held_load_share": busiest}
