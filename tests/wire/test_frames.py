"""Debounce, heartbeat and the ends of a stream, told by what leaves in one piece."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest
from tests.wire.script import Script, Words, first, frames_of, run

from launchpad.events import RunEvent, RunFailed, TextDelta
from launchpad.sse.frame import HEARTBEAT
from launchpad.sse.refusal import Refusal
from launchpad.stream.run_stream import EventStream
from launchpad.wire.frames import FrameStream


def test_the_first_delta_leaves_at_once_and_those_that_follow_leave_together() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, debounce=60)
        assert await first(script, frames, "a") == b"data: a\n\n"
        reading = asyncio.ensure_future(anext(frames))
        for word in "bcd":
            script.say(word)
            await asyncio.sleep(0)
        assert not reading.done()
        # The run's end does not wait for the window.
        script.end()
        assert await reading == b"data: bcd\n\ndata: end\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    run(test)


def test_without_debounce_each_delta_is_its_own_chunk() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script)
        assert await first(script, frames, "a", "b") == b"data: a\n\ndata: b\n\n"
        await frames.aclose()

    run(test)


def test_a_window_ends_when_it_ends() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, debounce=0.01)
        await first(script, frames, "a")
        reading = asyncio.ensure_future(anext(frames))
        script.say("b")
        assert await reading == b"data: b\n\n"
        await frames.aclose()

    run(test)


def test_a_full_mailbox_does_not_wait_for_the_window() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, debounce=60)
        await first(script, frames, "a")
        reading = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        assert script.mailbox is not None
        count = 0
        while script.mailbox.offer(TextDelta("N", "x")):
            count += 1
        assert await reading == b"data: " + b"x" * count + b"\n\n"
        await frames.aclose()

    run(test)


def test_heartbeats_come_in_the_silences_and_only_there() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, heartbeat=0.01)
        assert [await anext(frames) for _ in range(3)] == [HEARTBEAT] * 3
        script.end()
        assert await anext(frames) == b"data: end\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    run(test)


FAILURE = RunFailed("no", status=429)


def test_a_failure_before_the_first_byte_is_refused_where_that_can_be() -> None:
    async def test(script: Script) -> None:
        with pytest.raises(Refusal) as caught:
            await first(script, frames_of(script, refusable=True), FAILURE)
        assert (caught.value.status, caught.value.body) == (429, b"no")

    run(test)


@pytest.mark.parametrize("words", [("a", FAILURE), (FAILURE,)])
def test_a_failure_later_or_elsewhere_is_an_event(words: Sequence[RunEvent | str]) -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, refusable=len(words) > 1)
        assert (await first(script, frames, *words)).endswith(b"data: error: no\n\n")
        await frames.aclose()

    run(test)


def test_after_a_heartbeat_the_head_has_gone() -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, heartbeat=0.01, refusable=True)
        assert await anext(frames) == HEARTBEAT
        script.say(FAILURE)
        answer = HEARTBEAT
        while answer == HEARTBEAT:
            answer = await anext(frames)
        assert answer == b"data: error: no\n\n"
        await frames.aclose()

    run(test)


@pytest.mark.parametrize(
    ("word", "told"),
    [("unspeakable", b"cannot be told"), ("bug", b"could not complete this request")],
)
def test_a_run_that_cannot_be_told_ends_with_an_error(
    word: str, told: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script)
        assert told in await first(script, frames, word)
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        await asyncio.wait_for(script.ended.wait(), 10)

    run(test)
    tracebacks = [record.exc_info for record in caplog.records if record.exc_info]
    # A bug of ours, or of a user's encoder, is for the log.
    assert [info[0] for info in tracebacks] == ([ZeroDivisionError] if word == "bug" else [])


@pytest.mark.parametrize("in_operator", [True, False])
def test_a_bug_before_the_first_byte_gets_its_status(in_operator: bool) -> None:
    def fail(events: Sequence[RunEvent]) -> Sequence[RunEvent]:
        if in_operator:
            raise ZeroDivisionError
        return events

    async def test(script: Script) -> None:
        frames = FrameStream(
            EventStream(script),
            Words(),
            debounce=0,
            heartbeat=0,
            operators=[fail],
            refusable=True,
        )
        with pytest.raises(Refusal) as refusal:
            await first(script, frames, "bug")
        assert refusal.value.status == 500
        await frames.aclose()
        assert script.ended.is_set()

    run(test)


@pytest.mark.parametrize("way", ["aclose", "cancel", "drop", "cancel the reader"])
def test_letting_go_ends_the_run(way: str) -> None:
    async def test(script: Script) -> None:
        frames = frames_of(script, heartbeat=60)
        await first(script, frames, "a")
        if way == "aclose":
            await frames.aclose()
        elif way == "cancel":
            frames.cancel()
        elif way == "drop":
            del frames
            gc.collect()
        else:
            reading = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0)
            reading.cancel()
        await asyncio.wait_for(script.ended.wait(), 10)

    run(test)


def test_a_client_that_takes_nothing_ends_the_run_and_its_heartbeats() -> None:
    async def test(script: Script) -> None:
        frames = FrameStream(
            EventStream(script), Words(), debounce=0, heartbeat=0.01, send_timeout=0.05
        )
        await first(script, frames, "a")
        await asyncio.wait_for(script.ended.wait(), 10)
        beating = [timer for timer in all_timers() if "_tick" in repr(timer)]
        assert beating == []

    run(test)


def test_a_client_that_is_written_to_takes_what_it_gets() -> None:
    async def test(script: Script) -> None:
        frames = FrameStream(
            EventStream(script), Words(), debounce=0, heartbeat=0, send_timeout=0.05
        )
        await first(script, frames, "a")
        written: list[bytes] = []
        forwarding = asyncio.ensure_future(frames.forward(lambda data: not written.append(data)))
        await asyncio.sleep(0.15)
        assert not script.ended.is_set()
        script.end()
        await forwarding

    run(test)


def all_timers() -> list[asyncio.TimerHandle]:
    """What the running loop has still to call."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]
