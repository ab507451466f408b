"""A learnt request sends what pydantic-ai would have sent, and fails as it would have failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import (
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from tests.models.plain_ways import TEXTS

from launchpad.events import TextDelta, Usage
from launchpad.models import AgentConfig, ModelProvider, aclose_clients
from launchpad.models.direct import OpenAnswer
from launchpad.models.openai_compatible.client import StreamingOpenAI
from launchpad.models.openai_compatible.learnt import LearntRequests, learnt_requests
from launchpad.models.openai_compatible.stream import Reading
from launchpad.models.openai_compatible.watchdog import Patience
from launchpad.models.scope import RequestScope, request_scope
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Chunk, Die, Raw, Refusal, Status, UsageStep

Conversation = Sequence[ModelMessage]


def user(text: Any) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def assistant(*parts: Any) -> ModelMessage:
    return ModelResponse(parts=list(parts))


class Asking:
    """Asks an upstream again and again on one loop, and counts what was sent as learnt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **config: Any) -> None:
        self.learnt = 0
        self.config = config
        opened = LearntRequests.open

        async def counted(this: LearntRequests, request: Any) -> Any:
            stream = await opened(this, request)
            self.learnt += stream is not None
            return stream

        monkeypatch.setattr(LearntRequests, "open", counted)

    async def ask(
        self, upstream: ScriptedUpstream, messages: Conversation, **scope: Any
    ) -> tuple[str, Usage | None, str | None]:
        config = AgentConfig(
            model_provider=ModelProvider.OPENAI_COMPATIBLE,
            model_name="scripted",
            base_url=upstream.base_url,
            api_key="key",
            **self.config,
        )
        token = request_scope.set(RequestScope(**scope))
        try:
            async with OpenAnswer(config, messages) as answer:
                said = [
                    delta
                    async for batch in answer.batches("N", structured=False)
                    for delta in batch
                ]
        finally:
            request_scope.reset(token)
        words = "".join(delta.text for delta in said if isinstance(delta, TextDelta))
        return words, answer.usage, answer.finish_reason


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 1, 1.0, 0.5]),
        "top_p": st.sampled_from([0.1, 1]),
        "max_tokens": st.integers(1, 3),
        "stop_sequences": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "seed": st.integers(0, 2),
        "openai_user": st.sampled_from(["me", "you"]),
        "logit_bias": st.just({"1": 1}),
        "presence_penalty": st.sampled_from([0.0, -0.0, 0]),
    },
)
SYSTEM = TEXTS.map(SystemPromptPart)
USER = TEXTS.map(UserPromptPart)
CONVERSATIONS = st.lists(
    st.one_of(
        st.lists(st.one_of(SYSTEM, USER), min_size=1, max_size=3).map(ModelRequest),
        TEXTS.map(TextPart).map(lambda part: ModelResponse(parts=[part])),
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rounds=st.lists(st.tuples(CONVERSATIONS, SETTINGS), min_size=2, max_size=6),
    instructions=st.one_of(st.none(), TEXTS),
)
def test_what_is_sent_is_what_pydantic_ai_sends(
    rounds: list[tuple[list[ModelMessage], dict[str, Any]]],
    instructions: str | None,
    one_upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstream = one_upstream
    with monkeypatch.context() as patch:
        asking = Asking(patch, instructions=instructions)

        async def bodies(*, fresh: bool) -> list[Any]:
            before = len(upstream.requests)
            for messages, given_settings in rounds + rounds:
                await asking.ask(upstream, messages, settings=given_settings)
                if fresh:
                    await aclose_clients()
            return [request.body for request in upstream.requests[before:]]

        mapped = asyncio.run(bodies(fresh=True))
        assert asking.learnt == 0
        learnt = asyncio.run(bodies(fresh=False))
    assert learnt == mapped


@pytest.fixture(scope="module")
def one_upstream() -> Any:
    with ScriptedUpstream() as upstream:
        upstream.script_all(Chunk("hello "), Chunk("you"), UsageStep(3, 2))
        yield upstream


def test_the_second_like_it_is_learnt(
    one_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(monkeypatch, instructions="Be brief, {name}.")

    async def main() -> None:
        first = await asking.ask(one_upstream, [user("Hi")], settings={"temperature": 1})
        assert asking.learnt == 0
        assert await asking.ask(one_upstream, [user("Ho")], settings={"temperature": 1}) == first
        assert asking.learnt == 1
        assert first == ("hello you", Usage(3, 2), "stop")
        sent = one_upstream.requests[-1].body
        assert sent["temperature"] == 1
        assert sent["messages"] == [
            {"role": "system", "content": "Be brief, {name}."},
            {"role": "user", "content": "Ho"},
        ]
        # What names this one request is no difference.
        for who in ("me", "you"):
            own = {"temperature": 1, "openai_user": who, "seed": len(who)}
            await asking.ask(one_upstream, [user("Hi")], settings=own)
            sent = one_upstream.requests[-1].body
            assert (sent["user"], sent["seed"]) == (who, len(who))
        assert asking.learnt == 2
        # Other settings are another request, and so is what only looks equal.
        await asking.ask(one_upstream, [user("Hi")], settings={"temperature": 1.0})
        for zero in (0.0, -0.0):
            await asking.ask(one_upstream, [user("Hi")], settings={"presence_penalty": zero})
            assert str(one_upstream.requests[-1].body["presence_penalty"]) == str(zero)
        assert asking.learnt == 2

    asyncio.run(main())


def test_a_model_that_takes_one_system_message_alone_is_mapped_each_time() -> None:
    """pydantic-ai merges them then, which nothing here does."""
    client = StreamingOpenAI(
        base_url="http://127.0.0.1:9/v1",
        api_key="k",
        patience=Patience(1.0, 1.0, 1.0),
        reading=Reading(),
    )
    provider = OpenAIProvider(openai_client=client)
    profile = OpenAIModelProfile(openai_chat_supports_multiple_system_messages=False)
    merging = OpenAIChatModel("m", provider=provider, profile=profile)
    usual = OpenAIChatModel("m", provider=provider)
    for _ in range(2):
        assert learnt_requests(merging) is None
    client.learnt = None
    assert learnt_requests(usual) is learnt_requests(usual) is not None


@pytest.mark.parametrize(
    "odd",
    [{"stop_sequences": [["a"]]}, {"stop_sequences": {"a"}}, {"temperature": [1]}],
    ids=["nested", "set", "list"],
)
def test_settings_that_make_no_key_go_the_usual_way(
    odd: dict[str, Any], one_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(monkeypatch)

    async def main() -> None:
        before = len(one_upstream.requests)
        for _ in range(2):
            # Whether they are refused is the upstream's to say.
            with suppress(AgentRunError):
                await asking.ask(one_upstream, [user("Hi")], settings=odd)
        assert len(one_upstream.requests) == before + 2
        assert asking.learnt == 0

    asyncio.run(main())


def test_markup_that_is_no_token_is_plain(
    one_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(monkeypatch)

    async def main() -> None:
        await asking.ask(one_upstream, [user("Hi")])
        await asking.ask(one_upstream, [user('What is `{"a": [1]}`, <b>x</b>, a | b, ~[c](d)?')])
        assert asking.learnt == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "messages",
    [
        [user("<|im_start|>system")],
        [user("<\u200d|im_start|>system")],
        [user(["see", ImageUrl("https://example.org/a.png")])],
        [user("Hi"), assistant(ThinkingPart("hm"), TextPart("well")), user("so?")],
        [user("Hi"), assistant(TextPart("a"), TextPart("b")), user("so?")],
        [
            user("Hi"),
            assistant(ToolCallPart("f", "{}", "c")),
            ModelRequest(parts=[ToolReturnPart("f", "done", "c")]),
        ],
        [ModelRequest(parts=[UserPromptPart("Hi")], instructions="Be brief.")],
        [user("")],
    ],
    ids=[
        "token",
        "broken token",
        "image",
        "thinking",
        "two texts",
        "tool call",
        "instructions",
        "empty",
    ],
)
def test_what_is_not_plain_goes_the_usual_way(
    messages: Conversation, one_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(monkeypatch)

    async def main() -> None:
        for _ in range(3):
            await asking.ask(one_upstream, [user("Hi")])
            await asking.ask(one_upstream, messages)
        assert asking.learnt == 2

    asyncio.run(main())


def test_a_clients_form_goes_the_usual_way(
    one_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(monkeypatch)

    async def main() -> None:
        for _ in range(3):
            await asking.ask(one_upstream, [user("Hi")], response_format={"type": "json_object"})
            assert one_upstream.requests[-1].body["response_format"] == {"type": "json_object"}
        assert asking.learnt == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault",
    [
        Status(401),
        Status(404),
        Status(429, headers={"Retry-After": "7"}),
        Status(429, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}),
        Status(500),
        Status(400, body=b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'),
        Die(),
        Raw(b"HTTP/1.1 teapot\r\n\r\n", framed=False),
        Refusal("no"),
        Chunk("half"),
    ],
    ids=lambda step: repr(step)[:40],
)
def test_it_fails_as_the_usual_way_does(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(monkeypatch)

    async def outcome(upstream: ScriptedUpstream) -> object:
        # For all: a request whose kept connection breaks is sent again on a new one.
        upstream.script_all(*([fault, Die()] if isinstance(fault, Chunk) else [fault]))
        try:
            return await asking.ask(upstream, [user("Hi")])
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            found = as_upstream_error(error)
            assert found is not None
            wait = found.retry_after
            said = (found.status, found.type, found.code, str(found))
            return said, wait if wait is None or wait < 1e6 else round(wait, -4)
        finally:
            upstream.clear()

    async def main(upstream: ScriptedUpstream) -> None:
        usual = await outcome(upstream)
        await aclose_clients()
        await asking.ask(upstream, [user("Hi")])
        assert asking.learnt == 0
        assert await outcome(upstream) == usual

    with ScriptedUpstream() as upstream:
        asyncio.run(main(upstream))
