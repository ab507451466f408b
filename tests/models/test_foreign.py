"""The models that a provider's own SDK reads, each over its own wire."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest
from tests.models.dialects import BEDROCK, CLAUDE, DIALECTS, Dialect, frame
from tests.models.test_client_form import ask_for
from tests.models.upstream import Call, Upstream, upstream

from launchpad.errors import ConfigurationError, UpstreamError
from launchpad.events import Delta, JsonDelta, TextDelta, Usage
from launchpad.models import aclose_clients, build_model
from launchpad.models.agents.agent import build_agent
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.causes import cause_of
from launchpad.models.config import AgentConfig
from launchpad.models.direct import OpenAnswer
from launchpad.models.live.stream import LiveStream
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
NEEDS_BOTO3 = pytest.mark.skipif(find_spec("boto3") is None, reason="boto3 is not installed")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 looks for in the environment alone."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def answer_of(config: AgentConfig) -> OpenAnswer:
    return OpenAnswer(config, [ModelRequest.user_text_prompt("Hello")])


async def said(live: LiveStream, *, structured: bool = False) -> list[Delta]:
    return [one async for one in live.events("Node", structured=structured)]


def run(script: Callable[[Call], Awaitable[None]], body: Callable[[Upstream], Any]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), upstream(script) as server:
            try:
                await body(server)
            finally:
                await aclose_clients()

    asyncio.run(main())


@asynccontextmanager
async def failing() -> AsyncIterator[list[UpstreamError]]:
    """What fails inside, as a client is told of it."""
    found: list[UpstreamError] = []
    with pytest.raises(Exception) as caught:  # noqa: PT011
        yield found
    failure = as_upstream_error(caught.value)
    assert failure is not None, caught.value
    if failure is not caught.value and failure.__cause__ is None:
        failure.__cause__ = caught.value
    found.append(failure)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_word_comes_when_it_is_said(dialect: Dialect) -> None:
    heard = asyncio.Queue[str]()

    async def script(call: Call) -> None:
        await call.start()
        if dialect.first:
            await call.send(dialect.first)
        for word in "abc":
            await call.send(dialect.word(word))
            assert await heard.get() == word
        await call.send(dialect.last)
        await call.end()

    async def body(server: Upstream) -> None:
        async with answer_of(dialect.config(server.port)) as live:
            async for one in live.events("Node", structured=False):
                assert isinstance(one, TextDelta)
                heard.put_nowait(one.text)
        assert heard.empty()
        assert live.finish_reason == "length"
        assert live.usage == Usage(7, 5, reasoning_tokens=dialect.thought)

    run(script, body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_is_asked_once(dialect: Dialect) -> None:
    async def script(call: Call) -> None:
        await call.refuse(429, {"message": "slowly"}, "Retry-After: 7", *dialect.refusal)

    async def body(server: Upstream) -> None:
        async with failing() as found, answer_of(dialect.config(server.port)):
            pass
        assert (found[0].status, found[0].code) == (429, "rate_limit_exceeded")
        assert (found[0].retry_after, found[0].detail) == (7.0, "slowly")
        assert len(server.calls) == 1

    run(script, body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_connection_that_breaks(dialect: Dialect) -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(dialect.first + dialect.word("a"))
        call.writer.close()

    async def body(server: Upstream) -> None:
        async with failing() as found, answer_of(dialect.config(server.port)) as live:
            words = aiter(live.events("Node", structured=False))
            assert await anext(words) == TextDelta("Node", "a")
            await anext(words)
        assert str(found[0]) == "The connection to the model provider broke."
        assert cause_of(found[0])
        assert len(server.calls) == 1

    run(script, body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_log_can_say_why_it_could_not_be_reached(dialect: Dialect) -> None:
    async def never(_: Call) -> None:
        raise AssertionError

    async def body(_: Upstream) -> None:
        async with failing() as found, answer_of(dialect.config(1)):
            pass
        assert str(found[0]) == "The model provider could not be reached."
        assert str(cause_of(found[0])).startswith("ConnectionRefusedError: [Errno 111]")

    run(never, body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_leaves_closes_the_connection(dialect: Dialect) -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(dialect.first + dialect.word("a"))
        await call.wait_closed()

    async def body(server: Upstream) -> None:
        async with answer_of(dialect.config(server.port)) as live:
            async for _ in live.events("Node", structured=False):
                break
        await server.calls[0].closed.wait()

    run(script, body)


@NEEDS_BOTO3
def test_more_answers_are_open_than_the_loop_has_threads() -> None:
    """Each waits in a thread for its next word; of those there are 40 unless told otherwise."""
    all_asked = asyncio.Event()

    async def script(call: Call) -> None:
        await call.start()
        await call.send(BEDROCK.first + BEDROCK.word("a"))
        await all_asked.wait()
        await call.send(BEDROCK.last)
        await call.end()

    async def body(server: Upstream) -> None:
        from anyio.to_thread import current_default_thread_limiter

        async def one() -> list[Delta]:
            async with answer_of(BEDROCK.config(server.port)) as live:
                words = aiter(live.events("Node", structured=False))
                first = await anext(words)
                begun.append(first)
                if len(begun) == count:
                    all_asked.set()
                return [first, *[word async for word in words]]

        begun: list[Delta] = []
        limiter = current_default_thread_limiter()
        threads = limiter.total_tokens
        count = int(threads) + 5
        answers = await asyncio.gather(*[one() for _ in range(count)])
        assert answers == [[TextDelta("Node", "a")]] * count
        assert limiter.total_tokens == threads

    run(script, body)


@NEEDS_BOTO3
def test_an_error_inside_bedrock_s_stream() -> None:
    async def script(call: Call) -> None:
        await call.start()
        gone = {"message": "Too many tokens"}
        error = frame(gone, message_type="exception", exception_type="throttlingException")
        await call.send(BEDROCK.first + BEDROCK.word("a") + error)
        await call.end()

    async def body(server: Upstream) -> None:
        async with failing() as found, answer_of(BEDROCK.config(server.port)) as live:
            await said(live)
        assert (found[0].code, found[0].detail) == ("rate_limit_exceeded", "Too many tokens")

    run(script, body)


@NEEDS_BOTO3
def test_bedrock_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="need a region: set AWS_DEFAULT_REGION"):
        build_model(BEDROCK.config(1))


@NEEDS_BOTO3
def test_bedrock_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)

    async def never(_: Call) -> None:
        raise AssertionError

    async def body(server: Upstream) -> None:
        async with failing() as found, answer_of(BEDROCK.config(server.port)):
            pass
        assert found[0].code == "upstream_authentication"
        assert cause_of(found[0]) == "NoCredentialsError: Unable to locate credentials"

    run(never, body)


def test_an_empty_account_at_anthropic_is_the_operator_s() -> None:
    words = "Your credit balance is too low to access the Anthropic API."

    async def script(call: Call) -> None:
        error = {"type": "invalid_request_error", "message": words}
        await call.refuse(400, {"type": "error", "error": error})

    async def body(server: Upstream) -> None:
        async with failing() as found, answer_of(CLAUDE.config(server.port)):
            pass
        assert (found[0].status, found[0].code) == (502, "upstream_quota_exceeded")
        assert found[0].detail == words

    run(script, body)


async def by_an_agent(config: AgentConfig) -> list[Delta]:
    node = build_agent(
        config, streaming=True, name="Node", settings=Settings(), allow_client_form=True
    )
    async with node.run_stream("Hello") as result:
        live = live_stream(result.run_id)
        assert live is not None
        return await said(live, structured=True)


async def by_itself(config: AgentConfig) -> list[Delta]:
    async with answer_of(config) as live:
        return await said(live, structured=True)


@pytest.mark.parametrize("read", [by_an_agent, by_itself])
def test_a_model_without_a_mode_for_json_is_asked_in_words(read: Any) -> None:
    async def script(call: Call) -> None:
        words = ["```json\n", '{"a"', ": 1}", "\n```"]
        await call.stream(CLAUDE.first, *map(CLAUDE.word, words), CLAUDE.last)

    async def body(server: Upstream) -> None:
        config = CLAUDE.config(server.port, instructions="Be brief.")
        ask_for({"response_format": {"type": "json_object"}})
        assert await read(config) == [JsonDelta("Node", '{"a"'), JsonDelta("Node", ": 1}")]
        asked = str(server.calls[0].body["system"])
        assert "Be brief." in asked
        assert "respond with a JSON object" in asked
        ask_for({})
        await read(config)
        assert "JSON" not in str(server.calls[1].body["system"])

    run(script, body)
