"""`Runs`: streams that are dropped, and producers that fail."""

from __future__ import annotations

import asyncio

import pytest

from launchpad.errors import RunCancelledError
from launchpad.events import RunFailed, TextDelta
from launchpad.observe.metrics import metrics
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.stream.mailbox import Mailbox


def rejected() -> float:
    return sum(metrics.snapshot()["launchpad_runs_rejected_total"].values())


def test_a_stream_that_is_dropped_as_its_run_begins_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def produce(mailbox: Mailbox) -> None:
        await asyncio.sleep(20)

    async def main() -> None:
        runs = Runs(Settings(_env_file=None))
        stream = runs.start(produce, run_id="dropped")
        assert not stream.take()
        del stream
        await asyncio.sleep(0.05)
        assert runs.active == 0

    asyncio.run(main())
    assert caplog.records == []


def test_what_a_producer_raises_is_no_rejection() -> None:
    async def produce(mailbox: Mailbox) -> None:
        await mailbox.put(TextDelta("A", "x"))
        raise RunCancelledError("no further")

    async def main() -> None:
        stream = Runs(Settings(_env_file=None)).start(produce, run_id="failing")
        events = [event async for event in stream]
        assert isinstance(events[-1], RunFailed)

    before = rejected()
    asyncio.run(main())
    assert rejected() == before


async def endless(mailbox: Mailbox) -> None:
    while True:
        await mailbox.put(TextDelta("A", "x"))
        await asyncio.sleep(0)


def test_a_run_that_finds_no_place_is_not_begun() -> None:
    begun: list[str] = []

    async def produce(mailbox: Mailbox) -> None:
        begun.append("run")
        await asyncio.sleep(20)

    async def main() -> None:
        runs = Runs(Settings(_env_file=None, max_concurrent_runs=1, max_queued_runs=0))
        first = runs.start(produce, run_id="first")
        assert not first.take()
        await asyncio.sleep(0)
        refused = [event async for event in runs.start(produce, run_id="second")]
        assert [type(event) for event in refused] == [RunFailed]
        assert (runs.active, begun) == (1, ["run"])
        await first.aclose()
        assert runs.active == 0

    before = rejected()
    asyncio.run(main())
    assert rejected() == before + 1


def test_a_run_that_takes_too_long_ends_with_an_error_that_says_so() -> None:
    async def main() -> None:
        runs = Runs(Settings(_env_file=None, request_timeout=0.05))
        *_, last = [event async for event in runs.start(endless, run_id="r")]
        assert isinstance(last, RunFailed)
        assert (last.status, last.code) == (504, "run_timeout")
        assert "longer than 0.05 s" in last.message

    asyncio.run(main())


def test_a_shutdown_begins_once_refuses_who_comes_and_may_be_followed_by_a_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        runs = Runs(Settings(_env_file=None, shutdown_grace=20))
        going = runs.start(endless, run_id="going")
        await anext(going)
        runs.begin_shutdown()
        runs.begin_shutdown()
        await asyncio.sleep(0)
        assert runs.closing
        (refusal,) = [event async for event in runs.start(endless, run_id="late")]
        assert isinstance(refusal, RunFailed)
        assert (refusal.status, refusal.code) == (503, "run_cancelled")
        assert runs.active == 1, "it has its grace"
        assert await runs.shut_down(0) == 1
        *_, last = [event async for event in going]
        assert last == refusal
        await going.aclose()
        assert await runs.shut_down(0) == 0
        runs.open()
        assert not runs.closing
        again = runs.start(endless, run_id="again")
        await anext(again)
        assert runs.active == 1
        await again.aclose()

    asyncio.run(main())
    told = [record.getMessage() for record in caplog.records]
    assert told == ["shutdown: 1 runs were ended after 0 s"], "and nothing where none had to be"
