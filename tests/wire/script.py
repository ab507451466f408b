"""A toy dialect and a run that says what a test tells it, for the tests of `FrameStream`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from launchpad.errors import OutputError
from launchpad.events import RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.sse.frame import data_frame
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream
from launchpad.wire.base import Failure
from launchpad.wire.frames import FrameStream


class Words:
    """A toy dialect: one frame an event."""

    media_type = "text/event-stream"

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        frames: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                if event.text == "bug":
                    raise ZeroDivisionError
                if event.text == "unspeakable":
                    raise OutputError(event.node, "cannot be told.")
                frames.append(data_frame(event.text.encode()))
            elif isinstance(event, RunFailed):
                frames.append(data_frame(b"error: " + event.message.encode()))
            elif isinstance(event, RunFinished):
                frames.append(data_frame(b"end"))
        return b"".join(frames)

    def failure(self, event: RunFailed) -> Failure | None:
        return Failure(event.status, {}, event.message.encode())


class Script:
    """A producer that says what the test tells it, when it tells it."""

    def __init__(self) -> None:
        self.mailbox: Mailbox | None = None
        self.started = asyncio.Event()
        self.over = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.started.set()
        try:
            await self.over.wait()
        finally:
            self.ended.set()

    def say(self, *events: RunEvent | str) -> None:
        assert self.mailbox is not None
        for event in events:
            assert self.mailbox.offer(TextDelta("N", event) if isinstance(event, str) else event)

    def end(self) -> None:
        self.say(RunFinished())
        self.over.set()


def run(test: Callable[[Script], Coroutine[object, object, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await test(Script())

    asyncio.run(main())


def frames_of(
    script: Script, *, debounce: float = 0.0, heartbeat: float = 0.0, refusable: bool = False
) -> FrameStream:
    return FrameStream(
        EventStream(script),
        Words(),
        debounce=debounce,
        heartbeat=heartbeat,
        refusable=refusable,
    )


async def first(script: Script, frames: FrameStream, *events: RunEvent | str) -> bytes:
    """Start reading, then say the first words: nothing can have gathered before."""
    reading = asyncio.ensure_future(anext(frames))
    await script.started.wait()
    script.say(*events)
    return await reading
