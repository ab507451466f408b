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
