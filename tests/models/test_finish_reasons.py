"""Finish reasons in other words than OpenAI's, and those that are no end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from tests.models.faults import run
from tests.models.test_after_the_finish import READERS
from tests.models.test_malformed import outcomes, streaming
from tests.models.upstream import DONE, STOP, Call, Upstream, chunk, event, text, upstream, usage

from launchpad.errors import UpstreamError
from launchpad.events import FinishReason, TextDelta
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import StreamingModel, live_stream
from launchpad.models.direct import OpenAnswer
from launchpad.models.openai_compatible.watchdog import GRACE
from launchpad.settings import Settings


def ended(reason: str, **delta: Any) -> bytes:
    return event(chunk(delta, reason))


@pytest.mark.parametrize(
    "reason", ["abort", "error", "insufficient_system_resource", "network_error"]
)
@pytest.mark.parametrize("words", [(), ("a", "b")])
def test_an_answer_that_the_upstream_gave_up_is_cut(reason: str, words: tuple[str, ...]) -> None:
    assert outcomes(streaming(*text(*words), ended(reason), DONE)) == (502, "upstream_cut")


def test_what_came_with_the_reason_is_said() -> None:
    async def body(server: Upstream) -> str:
        messages = [ModelRequest.user_text_prompt("Hello")]
        async with OpenAnswer(server.config(), messages) as live:
            heard = aiter(live.events("Node", structured=False))
            words = [await anext(heard), await anext(heard)]
            with pytest.raises(UpstreamError, match="ended early"):
                await anext(heard)
        return "".join(word.text for word in words if isinstance(word, TextDelta))

    assert run(streaming(*text("a"), ended("abort", content="b"), DONE), body) == "ab"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("LENGTH", "length"),
        ("sensitive", "content_filter"),
        ("SAFETY", "content_filter"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("eos_token", "stop"),
        ("max_output_tokens", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_it_is_told_in_openai_s_words(said: str, meant: str) -> None:
    async def body(server: Upstream) -> None:
        for read in READERS:
            for _ in "12":
                assert (await read(server))[:2] == ("ab", meant), read.__name__

    run(streaming(*text("a", "b"), ended(said), DONE), body)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("SAFETY", "content_filter"),
        ("end_turn", "stop"),
        ("stop", "stop"),
    ],
)
def test_a_model_that_its_own_package_reads_means_the_same(said: str, meant: str) -> None:
    """pydantic-ai has no word for these: the provider's own is what counts."""

    async def body(server: Upstream) -> FinishReason | None:
        provider = OpenAIProvider(base_url=server.url, api_key="any")
        model = OpenAIChatModel("scripted", provider=provider)
        async with model, Agent(StreamingModel(model)).run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            heard = [one async for one in live.events("Node", structured=False)]
            await result.get_output()
        assert heard == [TextDelta("Node", "a"), TextDelta("Node", "b")]
        return live.finish_reason

    assert run(streaming(*text("a", "b"), ended(said), usage(5, 3), DONE), body) == meant


@pytest.mark.parametrize("said", ["null", ""])
def test_a_word_for_none_is_none(said: str) -> None:
    pieces = [ended(said, content="a"), ended(said, content="b")]
    assert outcomes(streaming(*pieces)) == (502, "upstream_cut")
    assert outcomes(streaming(*pieces, STOP)) == "ab"


def test_one_in_every_chunk_is_no_end() -> None:
    """Gemini's and its gateways' have it: the grace would end the answer in its first pause."""
    answers = (
        [ended("stop", content="a"), ended("stop", content="b")],
        [ended("stop", role="assistant", content=""), ended("stop", content="ab")],
        [*text("a"), ended("stop"), ended("stop", content="b"), ended("stop", content="c")],
        [ended("stop", reasoning_content="hm"), ended("stop", content="ab")],
    )

    async def heard(pieces: list[bytes]) -> set[str]:
        *before, last = pieces

        async def script(call: Call) -> None:
            await call.start()
            await call.send(b"".join(before))
            await asyncio.sleep(GRACE + 0.5)
            await call.send(last)
            await call.end()

        async with upstream(script) as server:
            return {words for words, _, _ in await asyncio.gather(*(r(server) for r in READERS))}

    async def main() -> list[set[str]]:
        try:
            return await asyncio.gather(*map(heard, answers))
        finally:
            await aclose_clients()

    assert asyncio.run(main()) == [{"ab"}, {"ab"}, {"abc"}, {"ab"}]


@pytest.mark.parametrize(
    ("pieces", "stall"),
    [
        ([ended("stop", content="ab")], 0.2),
        ([ended("stop", content="a"), ended("stop", content="b")], 0.2),
        ([ended("stop", content="ab"), usage(5, 3)], 60.0),
    ],
)
def test_silence_behind_words_with_the_reason_is_an_end(pieces: list[bytes], stall: float) -> None:
    """No timeout: the answer is whole. Behind its token counts nothing more is waited for."""

    async def script(call: Call) -> None:
        await call.start()
        await call.send(b"".join(pieces))
        await call.wait_closed()

    async def body(server: Upstream) -> Any:
        settings = Settings(stall_timeout=stall)
        async with asyncio.timeout(20), server.agent(settings).run_stream("Hello") as result:
            return await result.get_output(), result.response.finish_reason

    assert run(script, body) == ("ab", "stop")
