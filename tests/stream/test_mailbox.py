"""The hand-over between who runs and who writes, one step at a time."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import ref

from launchpad.events import RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream

A, B, C = (TextDelta("N", letter) for letter in "abc")


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_full_it_takes_nothing_and_its_producers_wait_for_room() -> None:
    async def main() -> None:
        mailbox = Mailbox(1)
        assert mailbox.offer(A)
        assert not mailbox.offer(B)
        waiting = [asyncio.create_task(mailbox.put(event)) for event in (B, C)]
        await turns()
        waiting[0].cancel()
        assert mailbox.take() == [A]
        await waiting[1]
        assert mailbox.take() == [C]
        assert mailbox.take() == ()

    asyncio.run(main())


def test_closed_it_takes_nothing_more_and_lets_its_producers_go() -> None:
    async def main() -> None:
        mailbox = Mailbox(1)
        mailbox.offer(A)
        waiting = asyncio.create_task(mailbox.put(B))
        await turns()
        mailbox.close(RunFinished())
        await waiting
        mailbox.close(RunFailed("too late"))
        mailbox.fail(RunFailed("too late"))
        assert not mailbox.offer(C)
        await mailbox.put(C)
        assert not mailbox.finished
        assert mailbox.take() == [A, RunFinished()]
        assert mailbox.finished

    asyncio.run(main())


def test_closed_and_empty_it_has_finished() -> None:
    mailbox = Mailbox()
    mailbox.close()
    assert mailbox.finished
    assert mailbox.take() == ()


def test_a_consumer_wakes_for_an_event_a_poke_and_the_end() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        for wake in (lambda: mailbox.offer(A), mailbox.poke, mailbox.close):
            arrival = mailbox.arrival()
            assert not arrival.done()
            wake()
            assert arrival.done()

    asyncio.run(main())


def test_events_gather_until_it_is_full_poked_or_closed() -> None:
    async def main(mailbox: Mailbox) -> None:
        for wake in (lambda: mailbox.offer(B), mailbox.poke, mailbox.close):
            gathering = asyncio.create_task(mailbox.settle(60.0))
            await turns()
            mailbox.offer(A)
            await turns()
            assert not gathering.done()
            wake()
            await gathering
            mailbox.take()
        await mailbox.settle(60.0)
        full = Mailbox(1)
        full.offer(A)
        await full.settle(60.0)

    asyncio.run(main(Mailbox(2)))


def test_after_it_has_gathered_each_event_wakes_again() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        await mailbox.settle(0.001)
        arrival = mailbox.arrival()
        mailbox.offer(A)
        assert arrival.done()

    asyncio.run(main())


def test_who_is_told_within_the_call_hears_of_events_and_of_the_end() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        heard: list[RunEvent | None] = []
        mailbox.on_arrival(heard.append)
        mailbox.offer(A)
        mailbox.poke()
        mailbox.on_arrival(None)
        mailbox.offer(B)
        mailbox.on_arrival(heard.append)
        mailbox.close()
        assert heard == [A, None, None]

    asyncio.run(main())


def test_what_is_taken_directly_is_spared_the_mailbox_but_nothing_overtakes() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        heard: list[RunEvent | None] = []
        asked: list[RunEvent] = []

        def direct(event: RunEvent) -> bool:
            asked.append(event)
            return event is A

        mailbox.on_arrival(heard.append, direct)
        assert mailbox.offer(A)
        assert mailbox.take() == ()
        assert mailbox.offer(B)
        assert mailbox.offer(A)  # B waits: A may not pass it
        assert (asked, heard) == ([A, B], [B, A])
        assert mailbox.take() == [B, A]
        mailbox.close()
        assert not mailbox.offer(A)
        assert len(asked) == 2

    asyncio.run(main())


def test_a_run_s_mailbox_is_not_kept_by_a_timer_that_was_made_in_it() -> None:
    async def main() -> None:
        kept: list[Any] = []

        async def produce(mailbox: Mailbox) -> None:
            # A cancelled timer stays with the loop until its time, as a stream's watchdog does.
            asyncio.get_running_loop().call_later(60, print).cancel()
            kept.append(ref(mailbox))

        stream = EventStream(produce)
        assert [event async for event in stream] == []
        await stream.aclose()
        del stream
        gc.collect()
        assert kept[0]() is None

    asyncio.run(main())
