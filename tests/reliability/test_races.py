"""Two things in one turn of the event loop: who wins. The table is in RELIABILITY.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from launchpad.core.shelter import sheltered
from launchpad.events import RunEvent, RunFailed, RunFinished, RunStarted, TextDelta
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.sse.frame import HEARTBEAT
from launchpad.stream import run_stream
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream
from launchpad.wire.frames import FrameStream
from launchpad.wire.tokens import TokenEncoder

SAID = (RunStarted("r", "W", None), TextDelta("N", "word"))


class Script:
    """A run that says `SAID`, then waits until the test lets it finish."""

    def __init__(self, *, cleaning: float = 0.0) -> None:
        self.finish = asyncio.Event()
        self.cleaned = False
        self._cleaning = cleaning

    async def __call__(self, mailbox: Mailbox) -> None:
        try:
            for event in SAID:
                await mailbox.put(event)
            await self.finish.wait()
            await mailbox.put(RunFinished())
        finally:
            await asyncio.sleep(self._cleaning)
            self.cleaned = True


def play(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))  # type: ignore[arg-type]


async def rest(stream: EventStream) -> list[RunEvent]:
    return [event async for event in stream]


def settings(**changes: float) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type]


def test_upstream_ends_before_shutdown_the_end_stays() -> None:
    async def main() -> None:
        runs, script = Runs(settings()), Script()
        stream = runs.start(script, run_id="r")
        await anext(stream)
        script.finish.set()
        await asyncio.sleep(0.01)  # finished, and its end not read yet
        await runs.shut_down(0)
        assert isinstance((await rest(stream))[-1], RunFinished)

    play(main)


def test_shutdown_before_upstream_ends_one_error_is_last() -> None:
    async def main() -> None:
        runs, script = Runs(settings()), Script(cleaning=0.02)
        stream = runs.start(script, run_id="r")
        await anext(stream)
        await runs.shut_down(0)
        script.finish.set()
        events = await rest(stream)
        assert [type(event) for event in events] == [TextDelta, RunFailed]
        await stream.aclose()
        assert script.cleaned

    play(main)


def test_client_leaves_during_shutdown_clean_up_runs_once_and_whole() -> None:
    async def main() -> None:
        runs, script = Runs(settings()), Script(cleaning=0.05)
        stream = runs.start(script, run_id="r")
        await anext(stream)
        await runs.shut_down(0)
        stream.cancel()
        stream.cancel()
        await stream.aclose()
        assert script.cleaned, "a second cancellation must not hit the clean-up"
        assert runs.active == 0

    play(main)


def test_timeout_and_shutdown_the_first_one_says_why() -> None:
    async def main() -> None:
        runs = Runs(settings(request_timeout=0.02))
        script = Script(cleaning=0.05)
        stream = runs.start(script, run_id="r")
        await anext(stream)
        await asyncio.sleep(0.04)  # timed out, cleaning up
        await runs.shut_down(0)
        failures = [event for event in await rest(stream) if isinstance(event, RunFailed)]
        assert [failure.code for failure in failures] == ["run_timeout"]

    play(main)


def test_never_read_and_shutdown_it_never_starts() -> None:
    async def main() -> None:
        runs, script = Runs(settings()), Script()
        stream = runs.start(script, run_id="r")
        await runs.shut_down(0)
        events = await rest(stream)
        assert [type(event) for event in events] == [RunFailed]
        assert not script.cleaned

    play(main)


def frames_of(script: Script, heartbeat: float) -> FrameStream:
    return FrameStream(EventStream(script), TokenEncoder(), debounce=0.0, heartbeat=heartbeat)


def test_heartbeat_and_token_the_token_leaves_and_no_heartbeat() -> None:
    async def main() -> None:
        script = Script()
        frames = frames_of(script, heartbeat=0.03)
        pieces: list[bytes] = []
        while not any(b"word" in piece for piece in pieces):
            pieces.append(await anext(frames))
        # Both are there: the heartbeat is overdue, and so is the end.
        await asyncio.sleep(0.06)
        script.finish.set()
        frames.tick(asyncio.get_running_loop())
        await asyncio.sleep(0)
        after = await anext(frames)
        assert HEARTBEAT not in after
        assert b'"done":true' in after.replace(b" ", b"")
        await frames.aclose()

    play(main)


def test_heartbeat_after_the_client_left_nothing_is_sent() -> None:
    async def main() -> None:
        frames = frames_of(Script(), heartbeat=0.01)
        while b"word" not in await anext(frames):
            pass
        reading = asyncio.create_task(frames.__anext__())
        await asyncio.sleep(0)
        frames.cancel()
        with pytest.raises(StopAsyncIteration):
            await reading
        await frames.aclose()

    play(main)


def test_client_leaves_during_clean_up_it_comes_to_its_end() -> None:
    async def main() -> None:
        done: list[str] = []

        async def clean_up() -> None:
            await asyncio.sleep(0.03)
            done.append("cleaned")

        task = asyncio.create_task(sheltered(clean_up()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["cleaned"]

    play(main)


def test_a_clean_up_that_hangs_is_cancelled_in_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_stream, "PATIENCE", 0.05)

    async def stubborn(mailbox: Mailbox) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await sheltered(hang())

    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        stream = EventStream(stubborn, name="stuck")
        reading = asyncio.create_task(stream.batch())
        await asyncio.sleep(0.01)
        await stream.aclose()
        reading.cancel()

    play(main)
    messages: Sequence[str] = [record.getMessage() for record in caplog.records]
    assert any("run stuck still goes on" in message for message in messages)
