"""One task owns the run; letting go of the stream in any way ends that task."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from launchpad.events import RunEvent, RunFinished, TextDelta
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream


class Source:
    """A producer that says how it went."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self.made = 0
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        self.cancelled = False

    async def __call__(self, mailbox: Mailbox) -> None:
        self.task = asyncio.current_task()
        try:
            while self.count is None or self.made < self.count:
                await mailbox.put(TextDelta("N", str(self.made)))
                self.made += 1
            await mailbox.put(RunFinished())
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


def test_every_event_in_order_one_by_one() -> None:
    async def main() -> None:
        events = [event async for event in EventStream(Source(1000))]
        expected: list[RunEvent] = [TextDelta("N", str(i)) for i in range(1000)]
        assert events == [*expected, RunFinished()]

    asyncio.run(main())


def test_a_fast_producer_is_batched() -> None:
    async def main() -> None:
        stream = EventStream(Source(100))
        batches = []
        while not stream.finished:
            batches.append(await stream.batch())
        assert len(batches[0]) == 101

    asyncio.run(main())


def test_a_reader_that_pauses_stops_its_producer_at_the_limit() -> None:
    async def main() -> None:
        source = Source()
        stream = EventStream(source, limit=16)
        await anext(stream)
        for _ in range(100):
            await asyncio.sleep(0)
        # One batch was taken, one fills the mailbox, one event waits at its door.
        assert source.made <= 33
        await stream.aclose()
        assert source.cancelled

    asyncio.run(main())


def test_never_read_is_never_started() -> None:
    async def main() -> None:
        source = Source()
        stream = EventStream(source)
        await stream.aclose()
        assert source.task is None
        assert [event async for event in stream] == []

    asyncio.run(main())


@pytest.mark.parametrize("way", ["aclose", "cancel", "drop"])
def test_letting_go_ends_the_owner(way: str) -> None:
    async def main() -> None:
        source = Source()
        stream = EventStream(source, limit=4)
        await anext(stream)
        if way == "aclose":
            await stream.aclose()
            assert source.task is not None
            assert source.task.done()
        elif way == "cancel":
            stream.cancel()
        else:
            del stream
            gc.collect()
        await asyncio.wait_for(source.ended.wait(), 5)
        assert source.cancelled

    asyncio.run(main())


@pytest.mark.parametrize("closes", [True, False])
def test_a_reader_cancelled_while_it_waits_ends_the_run(closes: bool) -> None:
    async def main() -> None:
        forever = asyncio.Event()
        ended = asyncio.Event()

        async def produce(mailbox: Mailbox) -> None:
            try:
                await forever.wait()
            finally:
                ended.set()

        stream = EventStream(produce)
        reader = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        reader.cancel()
        await asyncio.wait({reader})
        if closes:
            await stream.aclose()
            assert ended.is_set()
        await asyncio.wait_for(ended.wait(), 5)
        assert [event async for event in stream] == []

    asyncio.run(main())


def test_poke_wakes_a_reader_with_nothing() -> None:
    async def main() -> None:
        async def produce(mailbox: Mailbox) -> None:
            await asyncio.Event().wait()

        stream = EventStream(produce)
        reading = asyncio.create_task(stream.batch())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stream.poke()
        assert list(await reading) == []
        assert not stream.finished
        await stream.aclose()

    asyncio.run(main())


def test_a_second_reader_is_told_rather_than_left_waiting() -> None:
    async def main() -> None:
        source, go = Source(3), asyncio.Event()

        async def produce(mailbox: Mailbox) -> None:
            await go.wait()
            await source(mailbox)

        stream = EventStream(produce, name="Flow")

        async def read() -> list[RunEvent]:
            return [event async for event in stream]

        first = asyncio.create_task(read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="Flow is being read already"):
            await asyncio.wait_for(read(), 10)
        go.set()
        assert len(await asyncio.wait_for(first, 10)) == 4

    asyncio.run(main())


def test_what_was_taken_does_not_fill_later() -> None:
    async def main() -> None:
        words = asyncio.Event()

        async def produce(mailbox: Mailbox) -> None:
            await words.wait()
            mailbox.offer(TextDelta("N", "one"))

        stream = EventStream(produce)
        taken = stream.take()
        assert not taken
        words.set()
        await stream.arrival()
        assert not taken
        assert list(await stream.batch()) == [TextDelta("N", "one")]
        await stream.aclose()

    asyncio.run(main())


def test_a_cancelled_stream_that_is_dropped_is_cancelled_once() -> None:
    async def main() -> None:
        cancelled = 0
        done = asyncio.Event()

        async def produce(mailbox: Mailbox) -> None:
            nonlocal cancelled
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    cancelled += 1
                    raise
                finally:
                    done.set()

        stream = EventStream(produce)
        stream.take()
        await asyncio.sleep(0)
        stream.cancel()
        await asyncio.sleep(0)
        del stream
        gc.collect()
        await asyncio.wait_for(done.wait(), 5)
        assert cancelled == 0

    asyncio.run(main())


def test_settle_ends_early_when_the_run_ends_or_the_mailbox_is_full() -> None:
    async def main() -> None:
        for source, limit in ((Source(3), 256), (Source(), 4)):
            stream = EventStream(source, limit=limit)
            await stream.batch()
            await asyncio.wait_for(stream.settle(60), 5)
            await stream.aclose()

    asyncio.run(main())


def test_the_owner_is_told_by_its_name_and_made_by_the_loops_own_factory_where_it_has_one() -> None:
    async def main(factory: Any) -> tuple[str, int]:
        asyncio.get_running_loop().set_task_factory(factory)
        source = Source(1)
        assert [event async for event in EventStream(source, name="chat")]
        return repr(source.task), len(made)

    made: list[str | None] = []

    def make(loop: Any, work: Any, **given: Any) -> asyncio.Task[Any]:
        made.append(given.get("name"))
        return asyncio.Task(work, loop=loop, **given)

    assert asyncio.run(main(None)) == ("<Task 'launchpad:chat'>", 0)
    shown, count = asyncio.run(main(make))
    assert "launchpad:chat" in shown
    assert count == 1
