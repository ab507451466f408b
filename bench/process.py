"""A server under measurement: a child process pinned to its cores, its CPU time and its memory."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

__all__ = ["Server", "cores", "cpu_seconds", "free_port", "raise_file_limit"]

_PIN = (
    "import os, resource, sys\n"
    "os.sched_setaffinity(0, {int(c) for c in sys.argv[1].split(',')})\n"
    "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
    "os.execvpe(sys.argv[2], sys.argv[2:], os.environ)\n"
)


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have; returns that number."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cores() -> tuple[int, int]:
    """The server's core and the core of everything else (the same one where there is only one)."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User plus system time of these processes, from the scheduler's nanosecond clocks.

    `clock_getcpuclockid(3)` computes the id in just this way; Python has no name for it.
    """
    total = 0
    for pid in pids:
        try:
            total += time.clock_gettime_ns((~pid << 3) | 2)
        except OSError:  # it ended meanwhile
            continue
    return total / 1e9


class Server:
    """A pinned child process that listens on a port. A context manager: stopped at the end."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        port: int,
        cores: Sequence[int],
        environ: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
    ) -> None:
        self.port = port
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        pin = ",".join(str(core) for core in cores)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PIN, pin, *argv],
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_until_listening(self, seconds: float = 90.0, poll: float = 0.05) -> None:
        """Return when the port accepts; raises RuntimeError with the log's end otherwise.

        `poll` is how often it tries, in seconds.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(poll)
            else:
                return
        self.stop()
        raise RuntimeError(f"The server did not start listening: {self.said()}")

    def said(self, characters: int = 200) -> str:
        """The end of what it wrote to its log."""
        return self.log.read_text(errors="replace")[-characters:].strip()

    def pids(self) -> list[int]:
        """The server's processes as they are now."""
        return _tree(self.pid)

    def cpu(self) -> float:
        """CPU seconds used so far by all its processes."""
        return cpu_seconds(self.pids())

    def resident(self) -> int:
        """Resident memory in bytes, pages shared between its processes counted once."""
        total = 0
        for pid in self.pids():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next(
                int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
            )
        return total * 1024

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self, *, gently: bool = False) -> None:
        """End the process group; `gently` gives it time to write what it has (profiles)."""
        if self.alive():
            os.killpg(self.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=20 if gently else 3)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # whoever is left of its group
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
