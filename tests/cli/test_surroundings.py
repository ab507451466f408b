"""`launchpad serve` in poor surroundings: closed, full and unread streams, few descriptors."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from .conftest import environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sh, /dev/full and /proc")

SECONDS = 60
"""A ceiling for whatever is waited for."""


class Surrounded:
    """A server that a shell has started, in the way that `how` says."""

    def __init__(self, how: str, folder: Path, **more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.log = folder / "log"
        command = [sys.executable, "-m", "launchpad", "serve", "flows.py", "--port", str(self.port)]
        self.process = subprocess.Popen(
            ["sh", "-c", how.replace("LAUNCHPAD", 'exec "$0" "$@"'), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment(**more),
            start_new_session=True,
        )

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert self.process.poll() is None, f"it ended: {self.process.returncode}"
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def is_up(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=10).is_success
        except httpx.TransportError:
            return False

    def ask(self) -> str:
        body = {"model": "default", "messages": [{"role": "user", "content": "so it is"}]}
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        answer: str = httpx.post(url, json=body, timeout=SECONDS).text
        return answer

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


Start = Callable[..., Surrounded]


@pytest.fixture
def start(flows: Path) -> Iterator[Start]:
    """Starts a server in surroundings, and waits until it answers."""
    started: list[Surrounded] = []

    def begin(how: str, **more: str) -> Surrounded:
        one = Surrounded(how, flows.parent, **more)
        started.append(one)
        one.wait_for(one.is_up, "its start")
        return one

    yield begin
    for one in started:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


@pytest.mark.parametrize(
    ("how", "workers"),
    [
        ("LAUNCHPAD > /dev/full 2> log", "1"),
        ("LAUNCHPAD > /dev/full 2> log", "2"),
        ("LAUNCHPAD 2> log | true", "1"),
    ],
)
def test_a_banner_that_cannot_be_printed_keeps_nobody_from_serving(
    how: str, workers: str, start: Start
) -> None:
    served = start(how, LAUNCHPAD_WORKERS=workers)
    assert "so it is" in served.ask()
    assert "nothing can be printed on stdout" in served.log.read_text()
    if "|" not in how:  # there it is the shell's child
        assert served.end() == 0
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", "2>&-"])
def test_missing_standard_streams_are_no_sockets(closed: str, workers: str, start: Start) -> None:
    served = start(f"LAUNCHPAD {closed}", LAUNCHPAD_WORKERS=workers)
    assert "so it is" in served.ask()
    assert served.end() == 0


def open_files(pid: int) -> list[str]:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[3:5] for line in limits if line.startswith("Max open files"))


def test_the_limit_on_open_files_is_raised_as_far_as_it_may_be(start: Start) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 4096:
        pytest.skip("the hard limit here is lower than what the server needs")
    served = start("ulimit -Sn 512; LAUNCHPAD 2> log")
    assert int(open_files(served.process.pid)[0]) >= 2 * 1024 + 256
    assert "LimitNOFILE" not in served.log.read_text()
    assert served.end() == 0


def test_a_limit_below_the_servers_own_is_said_at_the_start(start: Start) -> None:
    served = start("ulimit -Sn 100; ulimit -Hn 200; LAUNCHPAD 2> log")
    assert open_files(served.process.pid) == ["200", "200"]
    lines = [line for line in served.log.read_text().splitlines() if "LimitNOFILE" in line]
    assert len(lines) == 1
    assert "may open 200 files" in lines[0]
    assert served.end() == 0


def test_where_no_descriptor_is_left_the_log_says_so_and_it_goes_on(start: Start) -> None:
    served = start("ulimit -n 80; LAUNCHPAD 2> log")
    with ExitStack() as opened:
        for _ in range(100):
            opened.enter_context(socket.create_connection(("127.0.0.1", served.port)))

        def ticks() -> int:
            fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        served.wait_for(lambda: "EMFILE" in served.log.read_text(), "a line in the log")
        before = ticks()
        time.sleep(1)
        busy = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        assert busy < 0.5, "it waits, and does not try again and again"
    served.wait_for(served.is_up, "room for a connection")
    assert served.log.read_text().count("EMFILE") == 1
    assert served.end() == 0
