"""Who gets a place, who waits, who is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from launchpad.errors import OverloadedError, RunCancelledError
from launchpad.runs.admission import Admission, Limits


def run(
    main: Callable[[Admission], Awaitable[None]],
    *,
    runs: int = 1,
    per_key: int | None = None,
    queued: int = 8,
    patience: float = 30.0,
) -> None:
    async def go() -> None:
        limits = Limits(runs=runs, runs_per_key=per_key, queued=queued, queue_timeout=patience)
        await main(Admission(limits))

    asyncio.run(go())


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served() -> None:
    async def main(admission: Admission) -> None:
        order: list[int] = []

        async def visit(number: int) -> None:
            await admission.enter()
            order.append(number)
            await asyncio.sleep(0)
            admission.leave()

        await asyncio.gather(*(visit(number) for number in range(5)))
        assert order == [0, 1, 2, 3, 4]
        assert (admission.running, admission.queued) == (0, 0)
        await admission.wait_idle()

    run(main)


def test_a_full_queue_is_a_503_with_retry_after() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        waiting = [asyncio.create_task(admission.enter()) for _ in range(2)]
        await turn()
        with pytest.raises(OverloadedError) as refused:
            await admission.enter()
        assert refused.value.status == 503
        assert refused.value.retry_after == 15.0, "half of what a place may take"
        admission.leave()
        await waiting[0]
        admission.leave()
        await waiting[1]
        assert admission.running == 1

    run(main, queued=2)


def test_who_waits_too_long_is_turned_away() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        with pytest.raises(OverloadedError) as refused:
            await admission.enter()
        assert refused.value.retry_after == 1.0, "no client is told to come back at once"
        assert (admission.running, admission.queued) == (1, 0)

    run(main, patience=0.01)


def test_a_key_over_its_limit_waits_and_holds_up_nobody() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter("a")
        second = asyncio.create_task(admission.enter("a"))
        await turn()
        assert admission.queued == 1
        with pytest.raises(OverloadedError) as refused:
            await admission.enter("a")
        assert refused.value.status == 429
        await admission.enter("b")
        await admission.enter(None)
        assert not second.done()
        admission.leave("a")
        await second
        assert (admission.running, admission.queued) == (3, 0)

    run(main, runs=10, per_key=1)


def test_a_place_goes_to_the_first_whose_key_may_have_it() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter("a")
        await admission.enter("b")
        blocked = asyncio.create_task(admission.enter("a"))
        next_in_line = asyncio.create_task(admission.enter("c"))
        await turn()
        admission.leave("b")
        await next_in_line
        assert not blocked.done()
        admission.leave("a")
        await blocked

    run(main, runs=2, per_key=1)


def test_leaving_the_queue_gives_the_place_to_the_next() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        first = asyncio.create_task(admission.enter())
        second = asyncio.create_task(admission.enter())
        await turn()
        first.cancel()
        admission.leave()  # in the same turn: the place must not go to who has left
        await second
        assert first.cancelled()
        assert (admission.running, admission.queued) == (1, 0)

    run(main)


def test_who_is_cancelled_with_the_place_in_hand_gives_it_back() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        first = asyncio.create_task(admission.enter())
        await turn()
        admission.leave()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert admission.running == 0
        await admission.wait_idle()

    run(main)


def test_closed_for_all() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        waiting = asyncio.create_task(admission.enter())
        await turn()
        admission.close(lambda: RunCancelledError("The server is shutting down."))
        with pytest.raises(RunCancelledError) as first:
            await waiting
        with pytest.raises(RunCancelledError) as second:
            await admission.enter()
        assert first.value is not second.value, "each would keep the other's frames"
        admission.leave()
        await admission.wait_idle()

    run(main)


def test_a_key_has_as_many_places_as_it_has_not_taken() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter("a")
        await admission.enter("a")
        admission.leave("a")
        await admission.enter("a")
        third = asyncio.create_task(admission.enter("a"))
        await turn()
        assert admission.queued == 1
        admission.leave("a")
        await third
        for _ in range(2):
            admission.leave("a")
        assert not admission._by_key, "keys that nobody uses are not kept"

    run(main, runs=10, per_key=2)


def test_who_waits_for_the_last_run_hears_of_its_end() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        await admission.enter()
        idle = [asyncio.create_task(admission.wait_idle()) for _ in range(2)]
        await turn()
        admission.leave()
        await turn()
        assert not any(one.done() for one in idle)
        admission.leave()
        await asyncio.gather(*idle)
        await admission.enter()
        again = asyncio.create_task(admission.wait_idle())
        await turn()
        assert not again.done()
        admission.leave()
        await again

    run(main, runs=2)


def test_who_leaves_as_it_closes_is_cancelled() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter()
        waiting = asyncio.create_task(admission.enter())
        await turn()
        waiting.cancel()
        admission.close(lambda: RunCancelledError("The server is shutting down."))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (admission.running, admission.queued) == (1, 0)

    run(main)


def test_where_keys_have_no_limit_of_their_own_a_full_server_is_nobody_s_fault() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter("a")
        await admission.enter("a")
        with pytest.raises(OverloadedError) as refused:
            await admission.enter("a")
        assert refused.value.status == 503
        admission.leave("a")
        admission.leave("a")
        assert (admission.running, admission._by_key) == (0, {})

    run(main, runs=2, queued=0)


def test_a_full_server_is_not_the_fault_of_a_key_below_its_limit() -> None:
    async def main(admission: Admission) -> None:
        await admission.enter("a")
        with pytest.raises(OverloadedError) as refused:
            await admission.enter("b")
        assert refused.value.status == 503

    run(main, runs=1, per_key=1, queued=0)


def test_a_key_may_have_as_many_runs_waiting_as_going_on() -> None:
    async def main(admission: Admission) -> None:
        for _ in range(2):
            await admission.enter("a")
        waiting = [asyncio.create_task(admission.enter("a")) for _ in range(2)]
        await turn()
        assert admission.queued == 2
        with pytest.raises(OverloadedError) as refused:
            await admission.enter("a")
        assert refused.value.status == 429
        for one in waiting:
            admission.leave("a")
            await one

    run(main, runs=10, per_key=2)


def test_runs_without_a_key_are_not_counted_as_one_key_s() -> None:
    async def main(admission: Admission) -> None:
        for _ in range(2):
            await admission.enter(None)
        for _ in range(2):
            admission.leave(None)
        assert (admission.running, admission._by_key) == (0, {})

    run(main, runs=2, per_key=1)
