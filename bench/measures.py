"""What is measured about one running subject. Every function takes a `Bench` and returns figures.

Units are in the names: `_per_s`, `_us`, `_ms`, `_kib`. CPU is the server's own (all its threads
and processes), so a figure per token holds even where the clients were the limit; `load_share` and
`upstream_share` say how busy the rest was (1.0: a whole core).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.completions import json_deltas
from bench.load import Call, Client, Load, LoadError, connect, quantile
from bench.process import Server, cpu_seconds

__all__ = [
    "Bench",
    "Figures",
    "Meter",
    "check",
    "close",
    "failure_text",
    "flat",
    "idle_memory",
    "one_token",
    "structured",
]

Figures = dict[str, float]

TOKENS = 500


@dataclass(frozen=True)
class Bench:
    """A running subject, the upstream behind it, and how to ask it."""

    call: Call
    server: Server
    upstream: Server
    own_pid: int
    quick: bool = False

    async def mode(self, spec: str) -> None:
        """Set what the upstream sends from now on."""
        await _get(self.upstream.port, f"/mode/{spec}")


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    body = await reader.readexactly(length)
    writer.close()
    return body


class Meter:
    """CPU and wall time between two moments."""

    def __init__(self, bench: Bench) -> None:
        self._pids = (bench.server.pids(), bench.upstream.pids(), [bench.own_pid])
        self._before = [cpu_seconds(pids) for pids in self._pids]
        self._started = time.monotonic()

    def stop(self) -> tuple[float, float, float, float]:
        """Seconds: wall, server's CPU, upstream's CPU, this process's CPU."""
        wall = time.monotonic() - self._started
        after = [cpu_seconds(pids) for pids in self._pids]
        server, upstream, own = (b - a for a, b in zip(self._before, after, strict=True))
        return wall, server, upstream, own


def check(load: Load) -> None:
    """Raise LoadError where a stream failed."""
    if load.failures:
        count = len(load.failures)
        raise LoadError(f"{count} streams failed, the first with: {load.failures[0]}")


def close(clients: Sequence[Client]) -> None:
    """Leave all streams."""
    for client in clients:
        client.close()


async def flat(bench: Bench, *, streams: int = 32, tokens: int = TOKENS) -> Figures:
    """Tokens/s with `streams` clients, each asking again as soon as its stream is complete."""
    await bench.mode(f"flat:{tokens}")
    load = Load()
    clients = [
        await connect(bench.call, load, lambda client: client.send(bench.call.raw))
        for _ in range(streams)
    ]
    for client in clients:
        client.send(bench.call.raw)
    await asyncio.sleep(0.5 if bench.quick else 1.5)
    meter, tokens_before, frames_before = Meter(bench), load.tokens, load.frames
    completed = load.completed + (streams if bench.quick else 3 * streams)
    await _window(load, completed, least=1.0 if bench.quick else 4.0, most=5 if bench.quick else 15)
    wall, server, upstream, own = meter.stop()
    close(clients)
    check(load)
    passed = load.tokens - tokens_before
    return {
        "tokens_per_s": passed / wall,
        "cpu_us_per_token": server / passed * 1e6,
        "tokens_per_frame": passed / max(1, load.frames - frames_before),
        "server_share": server / wall,
        "upstream_share": upstream / wall,
        "load_share": own / wall,
    }


async def _window(load: Load, completed: int, *, least: float, most: float) -> None:
    """At least `least` seconds; more, up to `most`, until so many streams are complete."""
    started = time.monotonic()
    while not load.failures:
        await asyncio.sleep(0.1)
        passed = time.monotonic() - started
        if passed >= most or (passed >= least and load.completed >= completed):
            return


async def one_token(bench: Bench) -> Figures:
    """One client alone, one token a request: CPU per request, time to the first token."""
    await bench.mode("flat:1")
    load = Load()
    ended = asyncio.Event()
    client = await connect(bench.call, load, lambda _: ended.set())

    async def run(count: int) -> None:
        for _ in range(count):
            ended.clear()
            client.send(bench.call.raw)
            await asyncio.wait_for(ended.wait(), 30)

    await run(20 if bench.quick else 100)
    load.first_token = type(load.first_token)("d")
    meter, count = Meter(bench), 50 if bench.quick else 300
    await run(count)
    _, server, _, _ = meter.stop()
    close([client])
    check(load)
    return {
        "first_token_ms": quantile(load.first_token, 0.5) * 1e3,
        "first_token_p99_ms": quantile(load.first_token, 0.99) * 1e3,
        "cpu_ms_per_request": server / count * 1e3,
    }


async def idle_memory(bench: Bench, *, streams: int) -> Figures:
    """Growth of the server's memory for each stream that is open and waits for its next token.

    A fresh server is needed: memory that an earlier measurement left free would hide the growth.
    """
    await bench.mode("idle")
    load = Load()
    clients: list[Client] = []

    async def grow(count: int) -> int:
        for _ in range(count):
            client = await connect(bench.call, load)
            clients.append(client)
            client.send(bench.call.raw)
            if len(clients) % 50 == 0:  # no flood: what counts is that they stay open
                await _reach(load, len(clients))
        await _reach(load, len(clients))
        await asyncio.sleep(0.5)
        return bench.server.resident()

    before = await grow(100)
    after = await grow(streams)
    alive = sum(client.streaming for client in clients)
    close(clients)
    check(load)
    return {"idle_kib_per_stream": (after - before) / streams / 1024, "idle_alive": float(alive)}


async def _reach(load: Load, tokens: int) -> None:
    async with asyncio.timeout(60):
        while load.tokens < tokens and not load.failures:  # noqa: ASYNC110 - counted in C, no event
            await asyncio.sleep(0.01)


async def structured(bench: Bench, *, size: int, runs: int = 0) -> Figures:
    """CPU for each delta of a structured stream, its document `size` bytes long."""
    await bench.mode(f"json:{size}")
    deltas = len(json_deltas(size))
    runs = runs or max(2, (10_000 if bench.quick else 100_000) // deltas)
    load = Load()
    ended = asyncio.Event()
    client = await connect(bench.call, load, lambda _: ended.set())

    async def run(count: int) -> None:
        for _ in range(count):
            ended.clear()
            client.send(bench.call.raw)
            while not ended.is_set() and not load.failures:
                try:
                    await asyncio.wait_for(ended.wait(), 5)
                except TimeoutError:
                    if not bench.server.alive():
                        raise LoadError("The server died.") from None

    await run(max(1, runs // 10))
    load.bytes = 0
    meter = Meter(bench)
    await run(runs)
    wall, server, _, own = meter.stop()
    close([client])
    check(load)
    kilobytes = size // 1000
    return {
        f"json_cpu_us_per_delta_{kilobytes}k": server / runs / deltas * 1e6,
        f"json_bytes_per_document_byte_{kilobytes}k": load.bytes / runs / size,
        f"json_load_share_{kilobytes}k": own / wall,
    }


def failure_text(error: BaseException) -> str:
    """One line about why a measurement did not work, for the table's notes."""
    return json.dumps(f"{type(error).__name__}: {error}"[:300])
