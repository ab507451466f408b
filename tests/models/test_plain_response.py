"""A learnt request's answer is what pydantic-ai's own way gives, however it is read.

Each case is served twice: to a model that has learnt nothing, and to one that has sent requests
like it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from tests.models.test_readers_agree import STREAMS
from tests.models.upstream import (
    DONE,
    STOP,
    Call,
    Upstream,
    chunk,
    event,
    text,
    tool_call,
    upstream,
    usage,
)

from launchpad.models import aclose_clients, build_model
from launchpad.models.streaming import StreamingModel
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WARM = "warm up"
SETTINGS = Settings(stall_timeout=5.0, first_token_timeout=5.0)
Answer = Callable[[Call], Awaitable[None]]


def answering(answer: Answer) -> Answer:
    """`answer` for all but what warms a model up."""

    async def script(call: Call) -> None:
        if call.body["messages"][-1]["content"] == WARM:
            await call.stream(*text("so"), STOP, usage(7, 5), DONE)
        else:
            await answer(call)

    return script


def saying(pieces: Sequence[bytes], cut: int = 0) -> Answer:
    whole = b"".join(pieces)

    async def answer(call: Call) -> None:
        size = len(whole) // cut + 1 if cut else len(whole)
        await call.start()
        for start in range(0, len(whole), size or 1):
            await call.send(whole[start : start + size])
            await asyncio.sleep(0.001)
        await call.end()

    return answer


@contextmanager
def mapped(patch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """What goes through pydantic-ai's own model meanwhile."""
    found: list[str] = []
    own = OpenAIChatModel.request_stream

    def noted(self: Any, messages: Any, *rest: Any) -> Any:
        found.append(messages[-1].parts[-1].content)
        return own(self, messages, *rest)

    with patch.context() as patched:
        patched.setattr(OpenAIChatModel, "request_stream", noted)
        yield found


Ask = Callable[[Upstream], Awaitable[Any]]


def both_ways(answer: Answer, ask: Ask, warm: Ask, *, times: int = 2) -> tuple[Any, list[Any]]:
    """What `ask` gives where nothing was learnt, and `times` after `warm` was asked thrice."""

    async def main() -> tuple[Any, list[Any]]:
        async with upstream(answering(answer)) as server:
            usual = await ask(server)
            await aclose_clients()
            for _ in range(3):
                await warm(server)
            learnt = [await ask(server) for _ in range(times)]
            await aclose_clients()
            return usual, learnt

    return asyncio.run(main())


def plain(response: ModelResponse) -> ModelResponse:
    """Without what is new with each run."""
    return replace(response, timestamp=NOW, run_id=None, conversation_id=None)


def joined(events: Sequence[Any]) -> list[Any]:
    """The events with the texts of one part in one piece, however they came."""
    found: list[Any] = []
    for one in events:
        last = found[-1] if found else None
        if (
            isinstance(one, PartDeltaEvent)
            and isinstance(one.delta, TextPartDelta)
            and isinstance(last, PartStartEvent)
            and isinstance(last.part, TextPart)
            and last.index == one.index
        ):
            said = last.part.content + one.delta.content_delta
            found[-1] = replace(last, part=replace(last.part, content=said))
        else:
            found.append(one)
    return found


async def follow(server: Upstream, prompt: str = "Hi") -> Any:
    """The events of the model's answer, the response after them, and how it failed."""
    model = StreamingModel(build_model(server.config(), SETTINGS))
    asked: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(prompt)])]
    events: list[Any] = []
    response = None
    try:
        async with model.request_stream(asked, None, ModelRequestParameters()) as response:
            async for one in response:
                events.append(one)  # noqa: PERF401  they stay when it fails
            error = None
    except Exception as raised:  # noqa: BLE001  whatever it is, it must be the same
        error = failure(raised)
    if response is None:
        return error
    return joined(events), plain(response.get()), vars(response.usage), response.model_name, error


async def warm_follow(server: Upstream) -> Any:
    return await follow(server, WARM)


def failure(error: BaseException | None) -> Any:
    """All of an error that can be looked at, and of those that it came of."""
    if error is None:
        return None
    seen = {name: value for name, value in vars(error).items() if not callable(value)}
    for name in ("request", "response"):
        seen.pop(name, None)
    ours = as_upstream_error(error) if isinstance(error, Exception) else None
    told = (ours.status, ours.code, ours.param, ours.type, str(ours)) if ours is not None else None
    return type(error), str(error), repr(seen), told, failure(error.__cause__)


@pytest.mark.parametrize("cut", [0, 5])
@pytest.mark.parametrize("name", STREAMS)
def test_the_recorded_answers(name: str, cut: int) -> None:
    usual, learnt = both_ways(saying(STREAMS[name], cut), follow, warm_follow)
    assert learnt == [usual, usual]


def test_a_plain_answer_does_not_go_through_pydantic_ais_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mapped(monkeypatch) as asked:
        _, learnt = both_ways(
            saying([*text("a", "b"), STOP, usage(3, 9), DONE]), follow, warm_follow
        )
    # What is not learnt yet, and then the first counts of that kind.
    assert asked == ["Hi", WARM, WARM]
    assert [one[1].parts for one in learnt] == [[TextPart("ab")]] * 2


WORDS = [
    "a",
    " b",
    "\n",
    "<think>",
    "</think>",
    "<",
    "thi",
    "nk>",
    "é😀",
    "👩\u200d💻",
    "[",
    "\u200d",
]
TOKENS = ["<\u200d|im_start|>", "\u200d|im_end|>", "<|im_end|>", "[\u200bINST]"]
WORD = st.sampled_from(WORDS)
PLAIN = st.one_of(
    WORD.map(lambda word: {"content": word}),
    st.sampled_from([{"content": None}, {"content": ""}, {"content": "x", "refusal": None}]),
)
ODD = st.one_of(
    st.sampled_from(TOKENS).map(lambda word: {"content": word}),
    st.sampled_from(
        [
            {"reasoning_content": "hm"},
            {"refusal": "no"},
            {"content": [{"type": "text", "text": "part"}]},
            {"annotations": [{"type": "odd"}], "content": "x"},
            tool_call(0, id="1", name="f", arguments="{}"),
            {},
        ]
    ),
)
AROUND: list[dict[str, Any]] = [
    {},
    {"service_tier": "default"},
    {"system_fingerprint": "fp", "obfuscation": "zzz"},
    {"timings": {"a": 1}},
    {"prompt_token_ids": None},
]
ODD_AROUND: list[dict[str, Any]] = [
    {"id": "other"},
    {"model": "other"},
    {"created": 1700000001},
    {"created": 17.5},
    {"service_tier": "flex"},
    {"choices": []},
    {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    {"moderation": {"flagged": False}},
    {"error": {"message": "no", "code": 429}},
]
REASONS = st.sampled_from(
    ["stop", "length", "content_filter", "stop", "tool_calls", "odd", "", None]
)
COUNT = st.integers(0, 30)
COUNTS = st.one_of(
    st.none(),
    st.builds(
        lambda a, b, c, d: {
            "prompt_tokens": a,
            "completion_tokens": b,
            "total_tokens": a + b,
            "prompt_tokens_details": {"cached_tokens": c, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": d, "accepted_prediction_tokens": 0},
        },
        COUNT,
        COUNT,
        COUNT,
        COUNT,
    ),
    st.sampled_from(
        [
            {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10},
            {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10, "cost": 0.5},
            {"prompt_tokens": 4, "completion_tokens": None, "total_tokens": 4, "x": {"y": [1]}},
            {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10, "odd_tokens": 3},
            {},
        ]
    ),
)


@st.composite
def answers(draw: st.DrawFn) -> list[bytes]:
    """An answer that is plain for the most part, and ends as they do, or does not."""
    around = draw(st.sampled_from(AROUND))
    first: dict[str, Any] = {"role": "assistant", **draw(PLAIN)}
    deltas = [first, *draw(st.lists(PLAIN, max_size=6))]
    chunks = [chunk(delta, **around) for delta in deltas]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(chunks)))
        chunks.insert(at, chunk(draw(ODD), **around))
    if draw(st.integers(0, 3)) == 0:
        chunks[draw(st.integers(0, len(chunks) - 1))].update(draw(st.sampled_from(ODD_AROUND)))
    reason, counts = draw(REASONS), draw(COUNTS)
    end = chunk(draw(st.sampled_from([{}, {"content": ""}, {"content": "!"}])), reason, **around)
    together = draw(st.booleans())
    if counts is not None and together:
        end["usage"] = counts
    chunks.append(end)
    if counts is not None and not together:
        chunks.append({**chunk({}, **around), "choices": [], "usage": counts})
    pieces = [event(one) for one in chunks]
    if draw(st.integers(0, 9)) == 0:
        pieces.insert(draw(st.integers(0, len(pieces))), b"data: {half\n\n")
    if draw(st.integers(0, 9)) == 0:
        del pieces[draw(st.integers(0, len(pieces) - 1)) :]
    return [*pieces, *([DONE] if draw(st.integers(0, 4)) else [])]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=answers(), cut=st.sampled_from([0, 0, 2, 5]))
def test_generated_answers(pieces: list[bytes], cut: int) -> None:
    usual, learnt = both_ways(saying(pieces, cut), follow, warm_follow)
    assert learnt == [usual, usual]
