"""`FrameStream.forward`: words that whoever says them writes, told by when and how they leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.script import Script, first, frames_of, run

from launchpad.events import RunFailed, RunFinished, TextDelta
from launchpad.sse.frame import HEARTBEAT, data_frame
from launchpad.wire.frames import FrameStream


class Client:
    """Keeps what is written; takes `room` writes before it wants no more."""

    def __init__(self, room: int = 1000) -> None:
        self.written: list[bytes] = []
        self.room = room

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        self.room -= 1
        return self.room > 0


def frames_with(*words: str) -> bytes:
    return b"".join(data_frame(word.encode()) for word in words)


def compute() -> None:
    """Work between two words, long enough for each to be alone."""
    time.sleep(0.0025)


@asynccontextmanager
async def forwarding(
    frames: FrameStream, write: Callable[[bytes], bool]
) -> AsyncIterator[asyncio.Task[None]]:
    """A response that has nothing to do but wait, after a while of silence."""
    task = asyncio.ensure_future(frames.forward(write))
    await asyncio.sleep(0.01)
    yield task
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_word_alone_leaves_within_the_call_that_says_it() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            script.say("b")
            assert client.written == [frames_with("b")]
            assert not task.done()

    run(test)


def test_words_at_once_leave_together_at_the_next_turn() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write):
            script.say("b", "c", "d")
            await asyncio.sleep(0)
            assert client.written == [frames_with("b"), frames_with("c", "d")]

    run(test)


def test_what_is_there_already_leaves_at_once() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        script.say("b")
        async with forwarding(frames, client.write):
            assert client.written == [frames_with("b")]

    run(test)


def test_a_client_that_wants_no_more_gets_the_rest_the_other_way() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client(room=1)
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            script.say("b")
            script.say("c")
            await asyncio.wait_for(task, 10)
        assert client.written == [frames_with("b")]
        assert await anext(frames) == frames_with("c")
        await frames.aclose()

    run(test)


def test_the_last_words_are_for_who_can_end_the_body() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            assert script.mailbox is not None
            script.say("b", RunFinished())
            script.mailbox.close()
            await asyncio.wait_for(task, 10)
        assert await anext(frames) == frames_with("end")
        assert frames.finished
        assert client.written == [frames_with("b")]

    run(test)


def test_within_the_window_words_gather_as_ever() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script, debounce=0.2), Client()
        await first(script, frames, "a")
        task = asyncio.ensure_future(frames.forward(client.write))
        await asyncio.sleep(0.3)  # its window is over
        script.say("b")
        assert client.written == [frames_with("b")]
        script.say("c")
        await asyncio.wait_for(task, 10)
        script.say("d")
        assert await anext(frames) == frames_with("cd")
        assert client.written == [frames_with("b")]
        await frames.aclose()

    run(test)


def test_heartbeats_come_in_the_silences() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script, heartbeat=0.01), Client(room=3)
        await first(script, frames, "a")
        await frames.forward(client.write)
        assert client.written == [HEARTBEAT] * 3
        await frames.aclose()

    run(test)


def test_before_its_first_bytes_it_beats_too() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script, heartbeat=0.01), Client(room=2)
        began = asyncio.get_running_loop().time()
        await frames.forward(client.write)
        assert client.written == [HEARTBEAT] * 2
        assert asyncio.get_running_loop().time() - began >= 0.01, "silence comes first"
        await frames.aclose()

    run(test)


def test_once_it_is_asked_for_the_head_has_gone() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script, refusable=True), Client()
        task = asyncio.ensure_future(frames.forward(client.write))
        await script.started.wait()
        script.say(RunFailed("no", status=429))
        assert script.mailbox is not None
        script.mailbox.close()
        await asyncio.wait_for(task, 10)
        assert await anext(frames) == b"data: error: no\n\n"

    run(test)


@pytest.mark.parametrize("word", ["unspeakable", "bug"])
def test_who_says_what_cannot_be_told_does_not_hear_of_it(word: str) -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            script.say(word)
            await asyncio.wait_for(task, 10)
        assert b"error: " in await anext(frames)
        assert frames.finished
        await asyncio.wait_for(script.ended.wait(), 10)

    run(test)


def test_nor_of_a_write_that_fails() -> None:
    def broken(data: bytes) -> bool:
        raise ZeroDivisionError

    async def test(script: Script) -> None:
        frames = frames_of(script)
        await first(script, frames, "a")
        async with forwarding(frames, broken) as task:
            script.say("b")
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(task, 10)
        await frames.aclose()

    run(test)


def test_cancelled_it_ends_the_run() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            task.cancel()
            await asyncio.wait_for(script.ended.wait(), 10)
        assert script.mailbox is not None
        assert not script.mailbox.offer(object())  # type: ignore[arg-type]
        assert client.written == []

    run(test)


def test_a_stream_that_is_let_go_lets_it_go() -> None:
    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client()
        await first(script, frames, "a")
        async with forwarding(frames, client.write) as task:
            frames.cancel()
            await asyncio.wait_for(task, 10)
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    run(test)


@given(
    said=st.lists(st.sampled_from(["word", "turn", "pause"]), max_size=30),
    rooms=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    debounce=st.sampled_from([0.0, 0.004]),
)
def test_every_word_leaves_once_and_in_order(
    said: list[str], rooms: list[int], debounce: float
) -> None:
    """However it is said, and however often the client wants no more for a while."""
    words = [str(number) for number, what in enumerate(said) if what == "word"]
    left: list[bytes] = []

    async def respond(frames: FrameStream) -> None:
        # As `SSEResponse` does.
        turn = 0
        async for data in frames:
            left.append(data)
            if not frames.finished:
                client = Client(rooms[turn % len(rooms)])
                await frames.forward(lambda data, to=client: left.append(data) or to.write(data))  # type: ignore[misc, func-returns-value]
                turn += 1

    async def test(script: Script) -> None:
        response = asyncio.ensure_future(respond(frames_of(script, debounce=debounce)))
        await script.started.wait()
        for number, what in enumerate(said):
            if what == "word":
                script.say(f"{number},")
            elif what == "turn":
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(0.003)
        script.end()
        await response

    run(test)
    told = b"".join(left).replace(b"data: ", b"").replace(b"\n\n", b"").decode()
    assert told == "".join(f"{word}," for word in words) + "end"


def test_who_never_waits_comes_to_wait_in_the_end() -> None:
    """A full mailbox makes it: until then nobody else has a turn."""

    async def test(script: Script) -> None:
        frames, client = frames_of(script), Client(room=10_000)
        await first(script, frames, "a")
        async with forwarding(frames, client.write):
            mailbox = script.mailbox
            assert mailbox is not None
            said = 0
            while said < 400 and mailbox.offer(TextDelta("N", "x")):
                said += 1
                compute()
        assert said < 400

    run(test)
