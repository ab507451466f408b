"""A server whose insides the tests can count: tasks, connections, runs, sockets."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn
from fastapi import FastAPI

from launchpad.api.app import create_app
from launchpad.cli.serve import _bind
from launchpad.core.run import Run
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.runs.in_process import Runs
from launchpad.server.graceful import GracefulServer
from launchpad.settings import Settings
from launchpad.sse.response import SSEResponse
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream
from launchpad.testing.sse import Stream, open_stream
from launchpad.wire.frames import FrameStream

T = TypeVar("T")
PROTOCOL = "launchpad.server.protocol:LaunchpadProtocol"
PER_RUN = frozenset({EventStream, FrameStream, Mailbox, Run, SSEResponse, TaskContext})
CHAT = "/v1/chat/completions"


def eventually(
    holds: Callable[[], object],
    what: str,
    seconds: float = 15.0,
    *,
    at_fault: Callable[[], object] | None = None,
) -> None:
    """Wait until `holds()`; fail after a ceiling that says nothing about speed."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            why = at_fault() if at_fault is not None else ""
            raise AssertionError(f"{what}: not within {seconds:g} s. {why}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Counts:
    """What a server holds at one moment."""

    tasks: int
    connections: int
    runs: int
    queued: int

    def __le__(self, other: Counts) -> bool:
        mine, theirs = astuple(self), astuple(other)
        return all(one <= another for one, another in zip(mine, theirs, strict=True))


class Served:
    """The server of `launchpad serve` in a thread; `foreign` makes it a plain uvicorn."""

    def __init__(
        self, flows: Mapping[str, type[Workflow]], *, foreign: bool = False, **settings: Any
    ) -> None:
        given = {"model": "openai:scripted", "debounce": 0.0, "port": 0, **settings}
        self.settings = Settings(_env_file=None, **given)
        self.app: FastAPI = create_app(flows, self.settings)
        self.runs: Runs = self.app.state.runs
        self._listening = _bind(self.settings)
        self.port: int = self._listening.getsockname()[1]
        config = uvicorn.Config(
            self.app, http="httptools" if foreign else PROTOCOL, ws="none", log_config=None
        )
        self.server = uvicorn.Server(config) if foreign else GracefulServer(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="served", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(20)
        eventually(lambda: self.server.started, "the server's start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        """What SIGTERM does; twice is what two do."""
        self.server.handle_exit(signal.SIGTERM, None)

    def join(self, seconds: float = 30) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the server did not end"

    def _run(self) -> None:
        factory = self.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            self.loop = runner.get_loop()
            self._up.set()
            runner.run(self.server._serve([self._listening]))

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` on the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(20)

    def counts(self) -> Counts:
        """What there is now, without this look itself."""

        async def count() -> Counts:
            return Counts(
                tasks=len(asyncio.all_tasks()) - 1,
                connections=len(self.server.server_state.connections),
                runs=self.runs.active,
                queued=self.runs.queued,
            )

        return self.call(count)

    def tasks(self) -> list[str]:
        """What each task is and where it stands, for a failed test's message."""

        async def look() -> list[str]:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            return [f"{task.get_name()}: {_standing(task.get_coro())}" for task in others]

        return self.call(look)

    def post(self, body: Mapping[str, Any], path: str = CHAT, **options: Any) -> Stream:
        """Ask, and come back when the head is there."""
        return open_stream(self.url + path, body, **options)


def _standing(awaited: Any) -> str:
    """Where a coroutine stands, from the outermost call to the innermost."""
    places: list[str] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        place = f"{frame.f_code.co_qualname}:{frame.f_lineno}" if frame else repr(awaited)
        places.append(place)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return " > ".join(places)


def chat(model: str, text: str = "hello", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": model, "stream": True, "messages": messages, **fields}


def kept_objects() -> int:
    """Objects of runs and responses that are still in memory."""
    gc.collect()
    return sum(type(one) in PER_RUN for one in gc.get_objects())


def open_files() -> int:
    """Descriptors of this process: sockets, pipes and files."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
