"""A soak: hundreds of streams at once, faults and leavers at random, and what is left of them.

    make soak                       two minutes, 200 clients
    make soak ARGS="--seconds 600 --clients 400 --seed 7"

Starts `launchpad serve` as a process behind a scripted upstream, loads it, and prints a table.
Exits with 1 where a token was lost, or something is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.reliability.soak_plan import FAULTS, Visit, reply
from tests.reliability.soak_table import Table

from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import Stream, open_stream
from launchpad.testing.steps import Status

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
TOKEN = re.compile(r"t(\d+) ")
SETTINGS = {
    "LAUNCHPAD_MODEL": "openai:scripted",
    "LAUNCHPAD_HEARTBEAT": "0.5",
    "LAUNCHPAD_SEND_TIMEOUT": "1",
    "LAUNCHPAD_STALL_TIMEOUT": "1",
    "LAUNCHPAD_FIRST_TOKEN_TIMEOUT": "5",
    "LAUNCHPAD_SHUTDOWN_GRACE": "5",
    "LAUNCHPAD_LOG_LEVEL": "error",
    "LAUNCHPAD_MAX_CONCURRENT_RUNS": "10000",
}


class Soak:
    """Clients for `seconds`, `clients` of them at once."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self.table = Table()
        self.left_at: dict[int, float] = {}

    def run(self, clients: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self.table.seconds = seconds

        def client() -> None:
            while time.monotonic() < deadline:
                with self._lock:
                    self.table.started += 1
                    visit = Visit.random(self._dice, self.table.started)
                try:
                    self._visit(visit)
                except Exception as error:  # noqa: BLE001  (told in the table)
                    self._note_wrong(visit, repr(error))

        with ThreadPoolExecutor(clients) as pool:
            for one in [pool.submit(client) for _ in range(clients)]:
                one.result()

    def _visit(self, visit: Visit) -> None:
        body = {
            "model": visit.model,
            "stream": visit.stream,
            "messages": [{"role": "user", "content": visit.words}],
        }
        small = 4096 if visit.reads != "at once" else None
        never = visit.reads == "never"
        with open_stream(
            self._url + CHAT,
            body,
            timeout=60,
            receive_buffer=small,
            wait_head=not never and visit.leaves_after != 0,
        ) as stream:
            if never:
                time.sleep(2.5)
                self._count(cut=1)
            elif visit.leaves_after == 0:
                self._count(cut=1)
            elif stream.status != 200 or not visit.stream:
                self._whole(visit, stream)
            else:
                self._events(visit, stream)

    def _whole(self, visit: Visit, stream: Stream) -> None:
        body = json.loads(stream.read_body())
        if stream.status != 200:
            self._count(error=f"{stream.status} {body['error']['code']}")
            return
        self._check(visit, body["choices"][0]["message"]["content"], whole=True)
        self._count(completed=1)

    def _events(self, visit: Visit, stream: Stream) -> None:
        words, error, done, count = "", None, False, 0
        for event in stream:
            if event.data == "[DONE]":
                done = True
                continue
            chunk = json.loads(event.data)
            if "error" in chunk:
                error = chunk["error"]["code"]
                continue
            words += chunk["choices"][0]["delta"].get("content") or ""
            count += 1
            if visit.leaves_after is not None and count >= visit.leaves_after:
                self._check(visit, words, whole=False)
                self._count(cut=1)
                self.left_at[visit.number] = time.monotonic()
                return
            if visit.reads == "slowly":
                time.sleep(0.01)
        if stream.ended != "complete" or done == (error is not None):
            self._note_wrong(visit, f"ended {stream.ended}, done {done}, error {error}")
        # A reset takes with it what was still on its way to us.
        self._check(visit, words, whole=visit.fault != "reset")
        if error is not None:
            self._count(error=f"event {error}")
        else:
            self._count(completed=1)

    def _check(self, visit: Visit, words: str, *, whole: bool) -> None:
        numbers = [int(number) for number in TOKEN.findall(words)]
        refused = isinstance(next(iter(FAULTS[visit.fault]), None), Status)
        expected = visit.tokens if whole and not refused else len(numbers)
        lost = expected - len(set(numbers) & set(range(expected)))
        if numbers != sorted(set(numbers)) or "".join(f"t{n} " for n in numbers) != words:
            self._note_wrong(visit, f"out of order: {words[:200]}")
        if lost:
            self._note_wrong(visit, f"lost {lost}, the last is {numbers[-1:]}")
        with self._lock:
            self.table.tokens += len(numbers)
            self.table.lost += lost

    def _count(self, *, completed: int = 0, cut: int = 0, error: str | None = None) -> None:
        with self._lock:
            self.table.completed += completed
            self.table.cut += cut
            if error is not None:
                self.table.errors[error] += 1

    def _note_wrong(self, visit: Visit, what: str) -> None:
        with self._lock:
            self.table.wrong.append(f"{what} ({visit})")


@contextmanager
def server(upstream: ScriptedUpstream) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LAUNCHPAD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "launchpad", "serve", "tests.reliability.soak_flows", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=own
        | SETTINGS
        | {"OPENAI_BASE_URL": upstream.base_url, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
    )
    said = process.stdout
    assert said is not None
    with said:
        url = next(
            (found[1] for line in said if (found := re.search(r" on (http://\S+)", line))), ""
        )
        reader = threading.Thread(target=said.read, daemon=True)
        reader.start()
        try:
            yield url, process
        finally:
            process.kill()
            process.wait()
            reader.join(10)


def census(url: str) -> dict[str, int]:
    body = {"model": "census", "messages": [{"role": "user", "content": "count"}]}
    answer = httpx.post(url + CHAT, json=body, timeout=60).json()
    counted: dict[str, int] = json.loads(answer["choices"][0]["message"]["content"])
    return counted


def settled(url: str, upstream: ScriptedUpstream, like: dict[str, int] | None) -> dict[str, int]:
    """The census once no stream is open, and once it is back where it was, where it comes back."""
    deadline = time.monotonic() + 20
    upstream.wait_idle(20)
    while True:
        counted = census(url)
        counted["sockets"] -= upstream.open_connections
        back = like is None or all(counted[what] <= like[what] for what in ("tasks", "sockets"))
        if back or time.monotonic() > deadline:
            return counted
        time.sleep(0.2)


def _delays(upstream: ScriptedUpstream, left_at: dict[int, float]) -> list[float]:
    """How long each upstream request that a leaver cut went on after that."""
    delays: list[float] = []
    for request in upstream.requests:
        if request.outcome == "left" and request.ended_at is not None:
            text = request.body["messages"][-1]["content"]
            left = left_at.get(json.loads(text)["number"]) if text.startswith("{") else None
            if left is not None:
                delays.append(max(0.0, request.ended_at - left))
    return delays


def soak(*, seconds: float, clients: int, seed: int) -> Table:
    """Warm up, count, soak, count again, end the server."""
    with ScriptedUpstream(reply) as upstream, server(upstream) as (url, process):
        Soak(url, seed + 1).run(clients, min(20.0, seconds / 3))
        before = settled(url, upstream, None)
        upstream.requests.clear()
        run = Soak(url, seed)
        run.run(clients, seconds)
        table = run.table
        table.before = before
        table.after = settled(url, upstream, before)
        table.delays = _delays(upstream, run.left_at)
        process.send_signal(signal.SIGTERM)
        table.exit_code = process.wait(30)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    table = soak(**vars(parser.parse_args()))
    sys.stdout.write("\n".join([str(table), *(f"WRONG: {one}" for one in table.wrong[:20])]) + "\n")
    return 0 if table.fine else 1


if __name__ == "__main__":
    sys.exit(main())
