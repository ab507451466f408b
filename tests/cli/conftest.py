"""Workflows that ask no model, and the command line as a real process that serves them."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

FLOWS = """
from collections.abc import AsyncIterator
from enum import Enum
import os

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from pydantic import BaseModel


class EchoNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        for word in task_context.event.get_message().split():
            yield word + " "
        yield f"(process {os.getpid()})"


class EchoWorkflow(Workflow):
    workflow_schema = WorkflowSchema(
        description="Says it again", event_schema=OpenAIChatSchema, start=EchoNode,
        nodes=[NodeConfig(node=EchoNode)],
    )


class Parcel(BaseModel):
    weight: float


class ParcelWorkflow(Workflow):
    workflow_schema = WorkflowSchema(
        description="Weighs", event_schema=Parcel, start=EchoNode,
        nodes=[NodeConfig(node=EchoNode)],
    )


class WorkflowRegistry(Enum):
    ECHO = EchoWorkflow
    PARCEL = ParcelWorkflow
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A user's file of workflows, in a folder of its own."""
    path = tmp_path / "flows.py"
    path.write_text(FLOWS, encoding="utf-8")
    return path


def environment(**more: str) -> dict[str, str]:
    """This process's environment without Launchpad's settings: each test says its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LAUNCHPAD_")}
    return own | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | more


def launchpad(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "launchpad", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=cwd,
        env=environment(**more),
    )


class Served:
    """A `launchpad serve` that runs, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output += line
                self._changed.notify_all()
        with self._changed:
            self.output += "\x04"
            self._changed.notify_all()

    def wait_for(self, pattern: str, seconds: float = 90) -> re.Match[str]:
        """The pattern's match in the output, once it is there."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.output)

        with self._changed:
            self._changed.wait_for(lambda: found() or "\x04" in self.output, seconds)
        match = found()
        assert match is not None, f"no {pattern!r} in:\n{self.output}"
        return match

    @property
    def url(self) -> str:
        return self.wait_for(r" on (http://\S+)").group(1)

    def ask(self, words: str, model: str = "default") -> str:
        body = {"model": model, "messages": [{"role": "user", "content": words}]}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=90)
        assert answer.status_code == 200, answer.text
        content: str = answer.json()["choices"][0]["message"]["content"]
        return content

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start `launchpad serve ARGUMENTS` on a free port; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> Served:
        process = subprocess.Popen(
            [sys.executable, "-m", "launchpad", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment(**more),
        )
        started.append(process)
        return Served(process)

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def descendants(pid: int) -> set[int]:
    """All processes below `pid` (Linux)."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    todo = {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo} - found
        found |= todo
    return found


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: set[int], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while left := {pid for pid in pids if is_alive(pid)}:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)
