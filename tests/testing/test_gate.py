from __future__ import annotations

import asyncio
import threading

import pytest

from launchpad.testing import Gate


def test_holds_until_opened_from_another_thread() -> None:
    gate = Gate()
    passed: list[int] = []

    async def wait(number: int) -> None:
        await gate.wait()
        passed.append(number)

    async def main() -> None:
        await asyncio.gather(wait(1), wait(2))

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    gate.wait_reached(2)
    assert passed == []
    gate.open()
    thread.join(10)
    assert sorted(passed) == [1, 2]


def test_open_gate_holds_nobody_and_counts() -> None:
    gate = Gate()
    gate.open()
    asyncio.run(gate.wait())
    assert (gate.reached, gate.is_open) == (1, True)


def test_nobody_came() -> None:
    with pytest.raises(TimeoutError, match="0 of 1"):
        Gate().wait_reached(timeout=0.01)


def test_a_waiter_that_is_cancelled_is_forgotten() -> None:
    gate = Gate()

    async def main() -> None:
        task = asyncio.create_task(gate.wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    gate.open()
