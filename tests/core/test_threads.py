"""Plain functions in threads, where the system has none to give."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from launchpad.core import threads
from launchpad.core.threads import in_thread


@pytest.fixture(autouse=True)
def _own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_pool", threads._Pool())


def _none_left(_: threading.Thread) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_without_any_thread_the_call_fails_and_is_not_made_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _none_left)
            with pytest.raises(RuntimeError, match="can't start"):
                await in_thread(called.append, "never")
        await in_thread(called.append, "now")

    asyncio.run(main())
    assert called == ["now"]


def test_where_no_further_thread_can_be_had_one_that_is_there_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def name_when(ready: Callable[[], bool]) -> str:
        assert ready()
        return threading.current_thread().name

    async def main() -> None:
        go_on = threading.Event()
        first = asyncio.create_task(in_thread(name_when, lambda: go_on.wait(20)))
        await asyncio.sleep(0)
        monkeypatch.setattr(threading.Thread, "start", _none_left)
        second = asyncio.create_task(in_thread(name_when, lambda: True))
        await asyncio.sleep(0)
        go_on.set()
        assert await first == await second == "launchpad-node"

    asyncio.run(main())
