"""Code that somebody puts around pydantic-ai's runs, at any time: each run then begins in it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pydantic_ai import Agent
from tests.models.plain_ways import Run, saying
from tests.models.upstream import DONE, STOP, Upstream, text, upstream, usage

from launchpad.models import aclose_clients

ANSWER = [*text("a", " b"), STOP, usage(3, 9), DONE]


async def ask(server: Upstream) -> None:
    await Run("node").ask(server)


def test_who_puts_code_around_runs_sees_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(4):
                await ask(server)
            own = Agent.run_stream

            @functools.wraps(own)
            @asynccontextmanager
            async def watched(self: Any, *prompt: Any, **given: Any) -> AsyncIterator[Any]:
                seen.append("begins")
                async with own(self, *prompt, **given) as result:
                    yield result
                seen.append("is over")

            monkeypatch.setattr(Agent, "run_stream", watched)
            await ask(server)
            assert seen == ["begins", "is over"]
            monkeypatch.undo()
            await ask(server)
            assert seen == ["begins", "is over"]
            await aclose_clients()

    asyncio.run(main())


class Proxy:
    """In a function's place: equals it, as `wrapt`'s proxies do, and has its hash or none."""

    def __init__(self, own: Any, seen: list[str]) -> None:
        self.own = own
        self.seen = seen

    def __get__(self, agent: Any, kind: type) -> Any:
        return self if agent is None else functools.partial(self, agent)

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.seen.append("begins")
        return self.own(*given, **named)

    def __eq__(self, other: object) -> bool:
        return bool(self.own == other)

    def __hash__(self) -> int:
        return hash(self.own)


class Unhashable(Proxy):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


def decorated(own: Any, seen: list[str]) -> Any:
    @contextmanager
    def watched() -> Iterator[None]:
        seen.append("begins")
        yield

    return watched()(own)


@pytest.mark.parametrize("wrap", [Proxy, Unhashable, decorated])
@pytest.mark.parametrize("name", ["run_stream", "iter"])
def test_what_is_put_around_runs_is_seen_whatever_it_is(
    wrap: Callable[[Any, list[str]], Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(4):
                await ask(server)
            monkeypatch.setattr(Agent, name, wrap(getattr(Agent, name), seen))
            await ask(server)
            assert seen == ["begins"]
            await aclose_clients()

    asyncio.run(main())
