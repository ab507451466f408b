"""Which cancellations and interrupts end a run from outside, and which are a node's own doing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from launchpad.stream.ending import CLEAN_UP, is_end, is_interrupt
from launchpad.stream.mailbox import Mailbox


async def caught(judge: Callable[[BaseException], bool]) -> bool:
    """What `judge` says of the cancellation that ends the wait in here."""
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError as error:
        return judge(error)
    raise AssertionError


async def cancelled(judge: Callable[[BaseException], bool]) -> bool:
    task = asyncio.create_task(caught(judge))
    await asyncio.sleep(0)
    task.cancel()
    return await task


def test_a_cancellation_ends_the_run_where_its_reader_asked_for_that() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        assert not await cancelled(lambda error: is_end(error, mailbox))
        assert await cancelled(lambda error: is_end(error, None))
        mailbox.close()
        assert await cancelled(lambda error: is_end(error, mailbox))
        assert not is_end(asyncio.CancelledError(), mailbox), "nobody has cancelled this task"
        assert not is_end(ValueError(), mailbox)
        assert not is_end(SystemExit(), None)

    asyncio.run(main())


def test_of_those_who_run_beside_each_other_their_group_s_end_is_what_counts() -> None:
    async def main() -> None:
        closed = Mailbox()
        closed.close()
        group = asyncio.create_task(asyncio.sleep(20))
        await asyncio.sleep(0)
        assert not await cancelled(lambda error: is_end(error, closed, group))
        group.cancel()
        assert await cancelled(lambda error: is_end(error, Mailbox(), group))

    asyncio.run(main())


@pytest.mark.parametrize(("name", "ends"), [(CLEAN_UP, True), ("somebody's", False)])
def test_the_end_of_the_loop_ends_the_run(name: str, ends: bool) -> None:
    ended: list[bool] = []

    async def judged() -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError as error:
            ended.append(is_end(error, Mailbox()))
            begun = asyncio.create_task(asyncio.sleep(0), name=name)
            ended.append(is_end(error, Mailbox()))
            await begun

    async def main() -> None:
        task = asyncio.create_task(judged())
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(main())
    assert ended == [True, ends]


@pytest.fixture
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def raised(act: Callable[[], object]) -> KeyboardInterrupt:
    with pytest.raises(KeyboardInterrupt) as error:
        act()
    return error.value


@pytest.mark.usefixtures("_handler")
def test_an_interrupt_is_ctrl_c_where_its_handler_has_raised_it() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert is_interrupt(KeyboardInterrupt())
    assert is_end(KeyboardInterrupt(), None)
    assert not is_interrupt(ValueError())
    for handler in (interrupt, partial(interrupt, 1)):
        signal.signal(signal.SIGINT, handler)
        assert not is_interrupt(KeyboardInterrupt())
        assert not is_end(KeyboardInterrupt(), None)
        assert is_interrupt(raised(interrupt))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert not is_interrupt(raised(interrupt))


@pytest.mark.usefixtures("_handler")
def test_an_interrupt_in_a_thread_is_somebody_s_code() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(is_interrupt(KeyboardInterrupt())))
    thread.start()
    thread.join(20)
    assert said == [False]
