"""Names the node that keeps the event loop from turning.

A daemon thread asks the loop, while nodes run, to call it back; when the answer is late it looks
at what the loop's thread is doing: the task that is running (`asyncio.current_task(loop)`) tells
the node, its stack the line. A node costs one dictionary entry, a token nothing; the loop is woken
a few times a second while nodes run, and not at all when none does.

A turn of the loop steps a task at most once, so a task that is current whenever the thread looks
during one late answer, or in a threshold's worth of looks, is the one that blocks. Where it is
always another, the loop is only overloaded, and no node is blamed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import launchpad

__all__ = ["BlockingWatchdog", "enter", "exit", "watched"]

_log = logging.getLogger(__name__)

_Task = asyncio.Task[Any]
_node: ContextVar[str | None] = ContextVar("launchpad_node", default=None)
_watchdogs: dict[asyncio.AbstractEventLoop, BlockingWatchdog] = {}

LOOKS = 4
"""Looks at the loop's thread within one threshold."""
STILL = 5.0
"""A loop that is blocked for this many seconds is reported before it is free again."""
QUIET = 10.0
"""Seconds between two lines about a loop that no single node blocks."""

_NOT_USERS = tuple(
    str(Path(path).resolve())
    for path in {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
)
_OWN = str(Path(launchpad.__file__).resolve().parent)
_EXAMPLES = str(Path(_OWN, "workflows"))


def enter(node: str) -> _Task | None:
    """A node starts to run in the calling task. Give the result to `exit` when it ends.

    Nothing happens on a loop without a watchdog.
    """
    if not _watchdogs:
        return None
    task = asyncio.current_task()
    if task is None:
        return None
    watchdog = _watchdogs.get(task.get_loop())
    if watchdog is None:
        return None
    watchdog.enter(task, node)
    return task


def exit(entered: _Task | None) -> None:  # noqa: A001  the pair of `enter`; used as `blocking.exit`
    """The node that `enter` announced is over. Any task may call it."""
    if entered is not None and (watchdog := _watchdogs.get(entered.get_loop())) is not None:
        watchdog.exit(entered)


@contextmanager
def watched(node: str) -> Generator[None]:
    """`enter` and `exit` around a piece of a node that runs in one task."""
    entered = enter(node)
    try:
        yield
    finally:
        exit(entered)


class BlockingWatchdog:
    """Watches one event loop from a thread of its own.

    Args: loop: the loop, running or about to; threshold: seconds (`Settings.block_warning`).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threshold: float) -> None:
        self._loop = loop
        self._threshold = threshold
        self._nodes: dict[_Task, list[str]] = {}
        self._loop_thread = 0
        self._quiet_until = 0.0
        self._awake = threading.Event()
        """The thread looks for nodes from time to time. It falls asleep by itself."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="launchpad-blocking-watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin to watch; one watchdog a loop."""
        _watchdogs[self._loop] = self
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. The thread ends by itself within a threshold."""
        _watchdogs.pop(self._loop, None)
        self._stopped.set()
        self._awake.set()

    def enter(self, task: _Task, node: str) -> None:
        """The task runs a node from now on; nodes may be nested."""
        self._loop_thread = threading.get_ident()
        self._nodes.setdefault(task, []).append(node)
        _node.set(node)
        if not self._awake.is_set():
            self._awake.set()

    def exit(self, task: _Task) -> None:
        """The task's innermost node is over."""
        names = self._nodes.get(task)
        if names:
            names.pop()
        if not names:
            self._nodes.pop(task, None)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            if not self._nodes:
                self._awake.clear()
                # A node that has begun before that found the thread awake.
                if not self._nodes and not self._stopped.is_set():
                    self._awake.wait()
            if not self._stopped.is_set():
                self._ask()
                # Short nodes, one after the other, wake it no more often than one long one.
                self._stopped.wait(self._threshold / LOOKS)

    def _ask(self) -> None:
        answer = _Answer()
        asked = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(answer.give)
        except RuntimeError:  # the loop is closed
            self.stop()
            return
        looks = _Looks()
        said = STILL
        while not answer.given.wait(self._threshold / LOOKS):
            if self._stopped.is_set() or self._loop.is_closed():
                self.stop()
                return
            if not self._loop.is_running():  # between two `run_until_complete`: nobody waits
                asked, looks = time.monotonic(), _Looks()
                continue
            self._look(looks)
            waited = time.monotonic() - asked
            if waited >= said:
                said *= 4
                self._report(looks, waited, "has been blocking")
        duration = answer.at - asked
        if duration >= self._threshold:
            self._report(looks, duration, "blocked")

    def _report(self, looks: _Looks, duration: float, verb: str) -> None:
        culprit = looks.culprit()
        if culprit is not None:
            _log.warning(
                "%s %s the event loop for %.2f s %s. Everything else on it stood still; use an "
                "async library there, or a process method without async, which runs in a thread.",
                culprit[0],
                verb,
                duration,
                culprit[1],
            )
        elif time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET
            _log.warning(
                "The event loop did not turn for %.2f s; no single node was seen to hold it "
                "(overload, or native code that holds the interpreter).",
                duration,
            )

    def _look(self, looks: _Looks) -> None:
        task = asyncio.current_task(self._loop)
        frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  documented
        looks.take(task, self._name(task), frames.get(self._loop_thread))

    def _name(self, task: _Task | None) -> str:
        """The node that a task works for: its own, or the one whose code started the task."""
        if task is None:
            return "A callback"
        names = self._nodes.get(task)
        if names:
            return f"The node {names[-1]}"
        context: Context | None = getattr(task, "get_context", lambda: None)()  # from 3.12 on
        node = context.get(_node) if context is not None else None
        return f"A task of the node {node}" if node else f"The task {task.get_name()}"


class _Answer:
    """The loop's answer: when it turned."""

    __slots__ = ("at", "given")

    def __init__(self) -> None:
        self.given = threading.Event()
        self.at = 0.0

    def give(self) -> None:
        self.at = time.monotonic()
        self.given.set()


class _Looks:
    """What the loop's thread was seen doing during one late answer."""

    def __init__(self) -> None:
        self._whos: dict[int | None, Counter[str]] = {}
        self._places: dict[str, str] = {}

    def take(self, task: _Task | None, who: str, frame: FrameType | None) -> None:
        self._whos.setdefault(None if task is None else id(task), Counter())[who] += 1
        # The first place: by the last look it may have come out of what blocked.
        if who not in self._places:
            self._places[who] = _place(frame)

    def culprit(self) -> tuple[str, str] | None:
        """Who blocks, and where; None when no single task does. One look alone proves nothing.

        The first look may still find the task before, and the last one what comes behind: who
        was found through a whole threshold is to blame all the same.
        """
        task, whos = max(
            self._whos.items(), key=lambda seen: seen[1].total(), default=(None, Counter[str]())
        )
        if task is None or whos.total() < (2 if len(self._whos) == 1 else LOOKS):
            return None
        # The task may have left its node since, in the same turn of the loop.
        ((who, _),) = whos.most_common(1)
        return who, self._places[who]


def _place(frame: FrameType | None) -> str:
    """Where the user's own code stands, and what it called if that is another's code."""
    inner = frame
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    if inner is None:
        return "(its stack is not known)"
    if frame is None or frame is inner:
        return f"at {_line(frame or inner)}"
    return f"at {_line(frame)}, waiting in {_line(inner)}"


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    if filename.startswith(_OWN):
        return filename.startswith(_EXAMPLES)
    return not filename.startswith(_NOT_USERS)
