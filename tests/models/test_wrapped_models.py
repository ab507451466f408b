"""A model around another is asked itself, also once the one inside was learnt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from tests.models.upstream import DONE, STOP, Call, Upstream, text, upstream

from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import StreamingModel, live_stream
from launchpad.models.config import RetryPolicy
from launchpad.models.direct import OpenAnswer
from launchpad.models.provider import build_model
from launchpad.testing import override_model

RETRY = RetryPolicy(attempts=3, backoff=0.01)


class Busy:
    """Refuses as many requests as it is told to."""

    refusals = 0

    async def __call__(self, call: Call) -> None:
        if self.refusals:
            self.refusals -= 1
            await call.refuse(503, {"error": {"message": "busy"}})
        else:
            await call.stream(*text("good", " day"), STOP, DONE)


async def by_agent(up: Upstream, **config: Any) -> str:
    async with up.agent(**config).run_stream("Hi") as result:
        return str(await result.get_output())


async def directly(up: Upstream, **config: Any) -> str:
    messages = [ModelRequest(parts=[UserPromptPart("Hi")])]
    async with OpenAnswer(up.config(**config), messages) as live:
        return "".join(
            [str(getattr(event, "text", "")) async for event in live.events("N", structured=False)]
        )


@pytest.mark.parametrize("ask", [by_agent, directly])
def test_a_policy_holds_where_another_node_asks_the_same_model(ask: Any) -> None:
    busy = Busy()

    async def main() -> tuple[str, int]:
        async with upstream(busy) as up:
            for _ in range(2):
                await ask(up)
            busy.refusals, before = 1, len(up.calls)
            said = await ask(up, retry=RETRY)
            await aclose_clients()
            return said, len(up.calls) - before

    assert asyncio.run(main()) == ("good day", 2)


def test_a_wrapper_of_the_users_is_asked_each_time() -> None:
    asked: list[object] = []

    class Noting(WrapperModel):
        @asynccontextmanager
        async def request_stream(self, *given: Any) -> AsyncGenerator[StreamedResponse]:
            asked.append(given)
            async with self.wrapped.request_stream(*given) as response:
                yield response

    async def main() -> None:
        async with upstream(Busy()) as up:
            for _ in range(2):
                await by_agent(up)
            with override_model(Noting(build_model(up.config()))):
                for _ in range(2):
                    assert await by_agent(up) == "good day"
            await aclose_clients()

    asyncio.run(main())
    assert len(asked) == 2


class Broken(WrapperModel):
    """Its answer cannot be counted; it notes when it is closed."""

    closed = False

    @asynccontextmanager
    async def request_stream(self, *given: Any) -> AsyncGenerator[StreamedResponse]:
        try:
            async with self.wrapped.request_stream(*given) as response:
                response.get = self._fail  # type: ignore[method-assign]
                yield response
        finally:
            self.closed = True

    def _fail(self) -> Any:
        raise LookupError("no such count")


def test_an_answer_that_cannot_be_counted_is_closed_and_forgotten() -> None:
    async def main() -> None:
        async with upstream(Busy()) as up:
            inner = Broken(build_model(up.config()))
            model = StreamingModel(inner)
            parameters = ModelRequestParameters()
            with pytest.raises(LookupError, match="no such count"):
                async with model.request_stream([], None, parameters, None):
                    pass
            assert inner.closed
            await aclose_clients()

    asyncio.run(main())


def test_a_run_that_fails_leaves_no_stream() -> None:
    async def main() -> None:
        async with upstream(Busy()) as up:
            agent: Agent[Any, Any] = up.agent()
            run_ids: list[str] = []

            async def fail() -> None:
                async with agent.run_stream("Hi") as result:
                    run_ids.append(result.run_id)
                    assert live_stream(result.run_id) is not None
                    raise LookupError

            with pytest.raises(LookupError):
                await fail()
            assert live_stream(run_ids[0]) is None
            await aclose_clients()

    asyncio.run(main())
