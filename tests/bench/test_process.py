"""Servers as child processes: pinned, measured, ended."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from bench.process import Server, cpu_seconds, free_port

PROGRAM = """
import os, socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(sorted(os.sched_getaffinity(0)), flush=True)
time.sleep(60)
"""


def start(program: str, log: Path) -> Server:
    port = free_port()
    core = min(os.sched_getaffinity(0))
    argv = [sys.executable, "-c", program, str(port)]
    return Server(argv, port=port, cores=[core], environ=dict(os.environ), log=log)


def test_a_server_is_pinned_measured_and_ended_with_its_children(tmp_path: Path) -> None:
    with start(PROGRAM, tmp_path / "log") as server:
        server.wait_until_listening(30)
        pids = server.pids()
        assert len(pids) == 2
        assert server.cpu() > 0
        assert server.resident() > 1_000_000
    assert server.said() == str([min(os.sched_getaffinity(0))])
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):  # the child's reaper is not us
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_dies_says_why(tmp_path: Path) -> None:
    server = start("raise SystemExit('no port for me')", tmp_path / "log")
    with pytest.raises(RuntimeError, match="no port for me"):
        server.wait_until_listening(30)


def test_cpu_time_is_counted() -> None:
    before = cpu_seconds([os.getpid()])
    sum(range(1_000_000))
    assert cpu_seconds([os.getpid()]) > before
