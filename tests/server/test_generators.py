"""Generators that are left open end with the loop, as ever, though it does not count them."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest
import uvloop

from launchpad.core.nodes.open_generators import OpenGenerators
from launchpad.server import generators
from launchpad.server.generators import BegunGenerators

Run = Callable[..., Any]
RUNS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def numbers(ended: list[str], name: str) -> AsyncGenerator[int]:
    try:
        while True:
            yield 1
    finally:
        await asyncio.sleep(0)
        ended.append(name)


@RUNS
def test_those_open_at_the_end_and_those_begun_after_it_are_closed_by_the_loop(run: Run) -> None:
    ended: list[str] = []
    kept: list[AsyncGenerator[int]] = []

    async def main() -> None:
        begun = BegunGenerators()
        begun.begin()
        kept.append(numbers(ended, "before"))
        await anext(kept[0])
        begun.end()
        kept.append(numbers(ended, "after"))
        await anext(kept[1])
        assert ended == []

    run(main())
    assert sorted(ended) == ["after", "before"]


@RUNS
def test_one_that_nobody_holds_is_closed_by_the_loop_at_once(run: Run) -> None:
    ended: list[str] = []

    async def main() -> None:
        begun = BegunGenerators()
        begun.begin()
        words = numbers(ended, "dropped")
        await anext(words)
        del words
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ended == ["dropped"]
        begun.end()

    run(main())
    assert ended == ["dropped"]


def test_ended_ones_are_forgotten() -> None:
    async def main() -> None:
        begun = BegunGenerators()
        begun.begin()
        lasting = numbers([], "lasting")
        await anext(lasting)
        known = ref(lasting)
        for _ in range(5_000):
            words = numbers([], "short")
            await anext(words)
            await words.aclose()
        # Weak references alone, and not one for each.
        assert len(begun._begun) < 2_000
        assert any(one is known for one in begun._begun)
        begun.end()

    asyncio.run(main())


def test_one_that_begins_while_others_are_forgotten_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generators, "_SWEEP", 3)
    ended: list[str] = []
    kept: list[AsyncGenerator[int]] = []

    class Late:
        """Begins a generator when it is collected."""

        def __init__(self, name: str) -> None:
            self.myself = self
            self.name = name

        def __del__(self) -> None:
            kept.append(numbers(ended, self.name))
            with suppress(StopIteration):
                kept[-1].__anext__().send(None)

    async def main() -> None:
        begun = BegunGenerators()
        begun.begin()
        before = gc.get_threshold()
        gc.set_threshold(5)
        try:
            for number in range(2_000):
                Late(f"late {number}")
                kept.append(numbers(ended, f"early {number}"))
                await anext(kept[-1])
        finally:
            gc.set_threshold(*before)
        gc.collect()
        begun.end()

    asyncio.run(main())
    assert len(ended) == len(kept) == 4_000


def test_a_hook_that_was_put_before_it_still_hears_of_all() -> None:
    ended: list[str] = []
    kept: list[AsyncGenerator[int]] = []

    async def main() -> None:
        begun = BegunGenerators()
        begun.begin()
        noted = OpenGenerators()
        with noted:
            kept.append(numbers(ended, "noted"))
            await anext(kept[0])
        begun.end()
        kept.append(numbers(ended, "after"))
        await anext(kept[1])
        await noted.aclose()
        assert ended == ["noted"]

    asyncio.run(main())
    assert ended == ["noted", "after"]


def test_outside_a_loop_there_is_nothing_to_do() -> None:
    begun = BegunGenerators()
    begun.begin()
    begun.end()
    assert sys.get_asyncgen_hooks().firstiter is None
