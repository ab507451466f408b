"""`Silence`: what counts as a model's silence, and who ends the wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from launchpad.errors import UpstreamTimeoutError
from launchpad.models.openai_compatible.watchdog import Patience, patience_for
from launchpad.models.silence import Silence


def silence(first: float = 0.05, stall: float = 0.05) -> Silence:
    return Silence(Patience(1.0, first, stall))


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await main

    return asyncio.run(bounded())


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("first", "stall", "said", "words"),
    [
        (0.05, 60.0, False, "sent no token within 0.05 seconds"),
        (60.0, 0.05, True, "paused for more than 0.05 seconds"),
    ],
)
def test_each_timeout_in_its_time(first: float, stall: float, said: bool, words: str) -> None:
    async def main() -> None:
        models = silence(first, stall)
        models.asked("one")
        if said:
            models.said("one")
        with pytest.raises(UpstreamTimeoutError, match=words):
            await models.within(never())

    run(main())


def test_where_no_model_was_asked_nothing_is_timed() -> None:
    async def main() -> None:
        models = silence()
        models.asked("one")
        models.ended("one")
        models.said("one")
        await models.within(asyncio.sleep(0.2))

    run(main())


def test_a_model_that_is_asked_within_the_wait_is_timed_too() -> None:
    async def main() -> None:
        models = silence()

        async def chain() -> None:
            await asyncio.sleep(0.12)
            threading.Thread(target=models.asked, args=("one",)).start()
            await never()

        with pytest.raises(UpstreamTimeoutError):
            await models.within(chain())

    run(main())


def test_one_that_speaks_does_not_excuse_another() -> None:
    async def main() -> None:
        models = silence()
        models.asked("talks")
        models.asked("hangs")

        async def talk() -> None:
            while True:
                await asyncio.sleep(0.01)
                models.said("talks")

        with pytest.raises(UpstreamTimeoutError, match="no token"):
            await models.within(talk())

    run(main())


def test_time_in_which_nobody_waits_does_not_count() -> None:
    async def main() -> None:
        models = silence(first=0.5)
        models.asked()
        await models.within(asyncio.sleep(0))
        await asyncio.sleep(0.7)
        await models.within(asyncio.sleep(0.01))

    run(main())


def test_silence_adds_up_over_waits_that_brought_nothing() -> None:
    async def main() -> None:
        models = silence(first=0.1)
        models.asked()

        async def reads() -> None:
            while True:
                await models.within(asyncio.sleep(0.02))

        with pytest.raises(UpstreamTimeoutError):
            await reads()

    run(main())


def test_the_wait_ends_in_its_own_task_whatever_the_reader_makes_of_it() -> None:
    ended: list[asyncio.Task[Any] | None] = []

    async def reader() -> AsyncIterator[int]:
        try:
            await never()
            yield 1
        except asyncio.CancelledError:
            raise ConnectionError from None
        finally:
            ended.append(asyncio.current_task())

    async def main() -> None:
        models = silence()
        models.asked()
        with pytest.raises(UpstreamTimeoutError):
            await models.within(anext(reader()))
        assert ended == [asyncio.current_task()]
        # Nobody is left cancelled.
        await asyncio.sleep(0)

    run(main())


def test_other_ends_stay_what_they_are() -> None:
    async def late() -> None:
        raise TimeoutError("its own")

    async def main() -> None:
        models = silence(60.0, 60.0)
        models.asked()
        with pytest.raises(TimeoutError, match="its own"):
            await models.within(late())
        task = asyncio.create_task(models.within(never()))
        await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


def test_a_requests_own_timeout_comes_first() -> None:
    import httpx2

    settings = Patience(10.0, 120.0, 60.0)
    assert patience_for(None, settings) == settings
    assert patience_for(5, settings) == Patience(5, 5, 5)
    assert patience_for(30.0, settings) == Patience(10.0, 30.0, 30.0)
    assert patience_for(httpx2.Timeout(None, read=7.0), settings) == Patience(10.0, 7.0, 7.0)
    assert patience_for(httpx2.Timeout(None), settings) == settings
