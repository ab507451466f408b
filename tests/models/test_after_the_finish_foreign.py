"""As `test_after_the_finish.py`, with models that a provider's SDK reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import FinalResultEvent, PartEndEvent, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from tests.models.upstream import DONE, STOP, Call, Script, event, text, upstream, usage

from launchpad.errors import UpstreamTimeoutError
from launchpad.models.openai_compatible.watchdog import Patience
from launchpad.models.silence import CompleteError, Silence
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.models.watched import WatchedModel

QUICK = 0.5
"""A stall timeout below the grace: the grace is as long then."""
PATIENCE = Patience(10.0, 30.0, QUICK)


def openai(url: str) -> Model:
    return OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=url, api_key="any"))


def anthropic(url: str) -> Model:
    provider = AnthropicProvider(base_url=url.removesuffix("/v1"), api_key="any")
    return AnthropicModel("claude-opus-4-7", provider=provider)


def claude(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **more})


CLAUDE = [
    claude(
        "message_start",
        message={
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-7",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    ),
    claude("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    claude("content_block_delta", index=0, delta={"type": "text_delta", "text": "ab"}),
    claude("content_block_stop", index=0),
    claude(
        "message_delta",
        delta={"stop_reason": "max_tokens", "stop_sequence": None},
        usage={"output_tokens": 9},
    ),
]
OPENAI = [*text("a", "b"), STOP]
KINDS: list[tuple[Callable[[str], Model], list[bytes], str]] = [
    (openai, OPENAI, "stop"),
    (anthropic, CLAUDE, "length"),
]


@asynccontextmanager
async def agent(
    script: Script, make: Callable[[str], Model], patience: Patience = PATIENCE
) -> AsyncIterator[tuple[Agent, Any]]:
    async with upstream(script) as server, asyncio.timeout(20):
        model = WatchedModel(make(server.url), patience)
        async with model:
            yield Agent(model), server


def after(*said: bytes, then: Callable[[Call], Awaitable[None]] | None = None) -> Script:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(b"".join(said))
        if then is not None:
            await then(call)
        await call.wait_closed()

    return script


@pytest.mark.parametrize(("make", "said", "reason"), KINDS)
def test_the_answer_is_complete(
    make: Callable[[str], Model], said: list[bytes], reason: str
) -> None:
    async def main() -> None:
        async with agent(after(*said), make) as (asked, server):
            async with asked.run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            assert result.response.finish_reason == reason
            assert result.response.state == "complete"
            await server.calls[0].closed.wait()

    asyncio.run(main())


def test_the_agent_is_told_of_the_end_of_the_part() -> None:
    async def main() -> None:
        async with (
            agent(after(*OPENAI), openai) as (asked, _),
            asked.run_stream_events("Hello") as events,
        ):
            seen = [one async for one in events]
        ends = [one for one in seen if isinstance(one, PartEndEvent)]
        assert [one.part for one in ends] == [TextPart("ab")]
        assert sum(isinstance(one, FinalResultEvent) for one in seen) == 1

    asyncio.run(main())


def test_the_stall_timeout_is_not_waited_for_and_counts_come_in_time() -> None:
    async def counts(call: Call) -> None:
        await asyncio.sleep(1.0)
        await call.send(usage(3, 9))

    async def main() -> None:
        patience = Patience(10.0, 600.0, 600.0)
        async with agent(after(*OPENAI, then=counts), openai, patience) as (asked, _):
            async with asked.run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            assert result.usage.output_tokens == 9

    asyncio.run(main())


def test_what_comes_in_time_is_read_to_its_end() -> None:
    async def goes_on(call: Call) -> None:
        await asyncio.sleep(0.1)
        await call.send(usage(3, 9))
        await asyncio.sleep(0.1)
        await call.send(DONE)
        await call.end()

    async def main() -> None:
        async with agent(after(*OPENAI, then=goes_on), openai) as (asked, _):
            async with asked.run_stream("Hello") as result:
                assert await result.get_output() == "ab"
            assert result.usage.output_tokens == 9

    asyncio.run(main())


@pytest.mark.parametrize(("make", "said"), [(openai, OPENAI[:-1]), (anthropic, CLAUDE[:-1])])
def test_without_a_finish_reason_it_is_still_silence(
    make: Callable[[str], Model], said: list[bytes]
) -> None:
    async def main() -> None:
        async with agent(after(*said), make) as (asked, _):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                async with asked.run_stream("Hello") as result:
                    await result.get_output()
            assert isinstance(as_upstream_error(caught.value), UpstreamTimeoutError)

    asyncio.run(main())


def test_where_it_tells_itself_the_grace_begins_with_the_finish_reason() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        silence = Silence(Patience(1.0, 60.0, 0.1))
        silence.asked()
        silence.said()
        silence.finishing()
        # The counts that follow are no new token.
        silence.said()
        with pytest.raises(CompleteError):
            await silence.within(never())
        silence.ended()
        silence.finishing()
        await silence.within(asyncio.sleep(0.2))

    asyncio.run(main())
