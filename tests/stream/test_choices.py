"""Runs side by side: each event with its choice, and the first failure ends all of them."""

from __future__ import annotations

import asyncio

from launchpad.events import OfChoice, RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.stream.choices import side_by_side
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream, Producer


def says(*events: RunEvent) -> Producer:
    async def produce(mailbox: Mailbox) -> None:
        for event in events:
            # As a run does it.
            if not mailbox.offer(event):
                await mailbox.put(event)
            await asyncio.sleep(0)

    return produce


def read(*producers: Producer, limit: int = 256) -> list[RunEvent]:
    async def main() -> list[RunEvent]:
        async with asyncio.timeout(20):
            return [event async for event in EventStream(side_by_side(producers), limit=limit)]

    return asyncio.run(main())


def test_every_event_names_its_choice_in_its_run_s_order() -> None:
    first, second = TextDelta("N", "a"), TextDelta("N", "b")
    for limit in (1, 256):
        events = read(says(first, RunFinished()), says(second, RunFinished()), limit=limit)
        for choice, text in enumerate((first, second)):
            own = [one for one in events if isinstance(one, OfChoice) and one.choice == choice]
            assert [one.event for one in own] == [text, RunFinished()]
        assert len(events) == 4


def test_the_first_failure_ends_the_others_and_comes_bare_and_last() -> None:
    ended: list[str] = []

    async def endless(mailbox: Mailbox) -> None:
        try:
            await mailbox.put(TextDelta("N", "so far"))
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    failure = RunFailed("no", status=418)
    for limit in (1, 256):
        events = read(endless, says(TextDelta("N", "then"), failure), limit=limit)
        assert events == [
            OfChoice(0, TextDelta("N", "so far")),
            OfChoice(1, TextDelta("N", "then")),
            failure,
        ]
    assert ended == ["endless", "endless"]


def test_of_several_failures_one_is_told() -> None:
    failure = RunFailed("no", status=418)
    assert read(says(failure), says(failure), says(failure)) == [failure]
