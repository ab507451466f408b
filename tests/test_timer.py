"""A timer that a loop which stood still does not hurry."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

from launchpad.timer import LATE, TURNS, Timer


def test_it_acts_once_with_its_arguments_after_what_had_come_was_read() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        acted: list[object] = []
        ours, theirs = asyncio.Event(), asyncio.Event()

        def act(*given: object) -> None:
            acted.append(given)
            acted.append(theirs.is_set())
            ours.set()

        Timer(loop, 0.01, act, "a", 1)
        # Due in the same instant, and with two turns to go.
        loop.call_later(0.01, lambda: loop.call_soon(loop.call_soon, theirs.set))
        await ours.wait()
        await asyncio.sleep(0.03)
        assert acted == [("a", 1), True]

    asyncio.run(main())


def test_cancelled_it_does_not_act_in_whatever_turn_it_is() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        acted: list[int] = []
        for turns in range(TURNS):
            timer = Timer(loop, 0.0, acted.append, turns)
            for _ in range(turns):
                await asyncio.sleep(0)
            timer.cancel()
            timer.cancel()
        await asyncio.sleep(0.02)
        assert not acted

    asyncio.run(main())


def test_where_the_loop_stood_still_it_looks_once_more_before_it_acts() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        acted = asyncio.Event()
        came = asyncio.Event()
        Timer(loop, 0.01, acted.set)
        time.sleep(0.01 + 2 * LATE)  # noqa: ASYNC251 - the loop is to stand still
        # What the other side sends again, once it is heard.
        loop.call_later(LATE, came.set)
        await came.wait()
        assert not acted.is_set()
        await acted.wait()

    asyncio.run(main())


def test_once_it_has_acted_or_was_cancelled_it_holds_nobody() -> None:
    class Owner:
        def __init__(self, acted: asyncio.Event) -> None:
            self.acted = acted
            self.timer = Timer(asyncio.get_running_loop(), 0.0, self.act)

        def act(self) -> None:
            self.acted.set()

    async def main() -> None:
        acted = asyncio.Event()
        first, second = Owner(acted), Owner(acted)
        second.timer.cancel()
        await acted.wait()
        gone = weakref.ref(first), weakref.ref(second)
        del first, second
        assert [one() for one in gone] == [None, None]

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
