"""A learnt request's answer is what pydantic-ai's own way gives, however it is read.

Each case is served twice: to a model that has learnt nothing, and to one that has sent requests
like it before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelRequest, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from tests.models.plain_ways import WARM, both_ways, failure, joined, mapped, plain, saying
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
from launchpad.models.agents.streaming_model import StreamingModel
from launchpad.settings import Settings

SETTINGS = Settings(stall_timeout=5.0, first_token_timeout=5.0)


async def follow(server: Upstream, prompt: str = "Hi", *, leave_after: int | None = None) -> Any:
    """The events of the model's answer, the response before and after them, and how it failed."""
    model = StreamingModel(build_model(server.config(), SETTINGS))
    asked: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(prompt)])]
    events: list[Any] = []
    response = before = None
    try:
        async with model.request_stream(asked, None, ModelRequestParameters()) as response:
            before = plain(response.get())
            async for one in response:
                events.append(one)
                if len(events) == leave_after:
                    await response.cancel()
            error = None
    except Exception as raised:  # noqa: BLE001  whatever it is, it must be the same
        error = failure(raised)
    if response is None:
        return error
    after = plain(response.get()), vars(response.usage), response.model_name, response.cancelled
    return joined(events), before, after, error


async def warm_follow(server: Upstream) -> Any:
    return await follow(server, WARM)


ROLE = text()[0]
ODD_ENDS = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": "much"}
ANSWERS: dict[str, Sequence[bytes]] = {
    **STREAMS,
    "nothing": [ROLE, STOP, usage(3, 1), DONE],
    "nothing, uncounted": [ROLE, STOP, DONE],
    "no choices at all": [usage(3, 1), DONE],
    "a role, then a refusal": [ROLE, event(chunk({"refusal": "No"})), STOP, DONE],
    "a role, then a call": [ROLE, event(chunk(tool_call(0, id="1", name="f", arguments="{}")))],
    "a role, then an error": [ROLE, event({"error": {"message": "no", "code": 429}})],
    "a role, then nothing": [ROLE],
    "a text, then an error": [*text("a"), event({"error": {"message": "no", "code": 429}})],
    "garbage": [*text("a"), b"data: {half\n\n"],
    "an error": [event({"error": {"message": "no", "code": 503}})],
    "empty": [],
    "text after the end": [*text("a"), STOP, *text("b", "c"), DONE],
    "two counts": [*text("a"), STOP, usage(3, 1), usage(4, 2), DONE],
    "counts that are odd": [*text("a"), event(chunk({}, "stop", usage=ODD_ENDS)), DONE],
    "nulls around": [
        event(chunk({"role": "assistant", "content": ""}, prompt_token_ids=None)),
        event(chunk({"content": "a", "tool_calls": None}, prompt_token_ids=None)),
        STOP,
        DONE,
    ],
    "no id": [event({**chunk({"content": "a"}), "id": ""}), STOP, DONE],
    "no time": [event({**chunk({"content": "a"}), "created": None}), STOP, DONE],
    "a number for a model": [event({**chunk({"content": "a"}), "model": 4}), STOP, DONE],
    "tags in pieces": [*text("<th", "ink>", "a"), event(chunk({"reasoning": "hm"})), STOP, DONE],
    "a tag in pieces": [*text("<th", "ink>"), event(chunk({"reasoning": "hm"})), STOP, DONE],
    "a tag later": [*text("a", "<think>", "hm", "</think>", "b"), STOP, DONE],
    "a mended token": [*text("a <", "\u200d|im_start|>", "b"), STOP, DONE],
    "an odd reason": [*text("a"), event(chunk({}, "odd")), DONE],
}


@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize("cut", [0, 5, -1])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_recorded_answers(name: str, cut: int) -> None:
    usual, learnt = both_ways(saying(ANSWERS[name], cut), follow, warm_follow)
    assert learnt == [usual, usual]


def test_a_plain_answer_does_not_go_through_pydantic_ais_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mapped(monkeypatch) as asked:
        _, learnt = both_ways(
            saying([*text("a", "b"), STOP, usage(3, 9), DONE]), follow, warm_follow
        )
    # What is not learnt yet, and then the first counts of that kind.
    assert asked == ["Hi", *[WARM, WARM] * 2]
    assert [one[2][0].parts for one in learnt] == [[TextPart("ab")]] * 2


async def word_by_word(call: Call) -> None:
    await call.start()
    for piece in text("a", "b"):
        await call.send(piece)
        await asyncio.sleep(0.01)
    await call.wait_closed()


def test_a_response_that_is_cancelled() -> None:
    async def ask(server: Upstream) -> Any:
        # After the result's announcement and a word.
        return await follow(server, leave_after=2)

    usual, learnt = both_ways(word_by_word, ask, warm_follow)
    assert learnt == [usual, usual]
    assert usual[2][0].state == "interrupted"


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


# It would be an error here, at a place that depends on how much came at once.
@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=answers(), cut=st.sampled_from([0, 0, 2, 5]))
def test_generated_answers(pieces: list[bytes], cut: int) -> None:
    usual, learnt = both_ways(saying(pieces, cut), follow, warm_follow)
    assert learnt == [usual, usual]


@pytest.mark.parametrize("cut", [0, 5, -1])
def test_empty_counts_are_the_same_however_the_chunks_come(cut: int) -> None:
    pieces = [event(chunk({"content": "a"})), event({**chunk({}, "stop"), "usage": {}})]
    usual, learnt = both_ways(saying(pieces, cut), follow, warm_follow)
    assert learnt == [usual, usual]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ((1, 2, {}), (5, 5, {})),
        ((1, 2, {"queue_time": 0.5, "prompt_tokens_details": {}}), (3, 4, {"queue_time": 0.25})),
        ((1, 2, {"odd_tokens": 3}), (1, 2, {"odd_tokens": 4})),
        ((1, 2, {"prompt_tokens_details": {"cached_tokens": 5}}), (3, 4, {})),
    ],
    ids=["equal ones", "seconds", "an odd one", "a cache"],
)
def test_counts_of_a_kind_are_learnt_once(
    first: tuple[int, int, dict[str, Any]],
    then: tuple[int, int, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {**first[2], **then[2]}
    waiting = [first, first, (*then[:2], more), (*then[:2], more)]

    async def answer(call: Call) -> None:
        asked, given, more = waiting.pop(0)
        counts = {"prompt_tokens": asked, "completion_tokens": given, **more}
        counts["total_tokens"] = asked + given
        await call.stream(*text("a"), event(chunk({}, "stop", usage=counts)), DONE)

    async def main() -> None:
        async with upstream(answer) as server:
            # The request is learnt with the first, its counts with the second.
            await follow(server)
            await follow(server)
            with mapped(monkeypatch) as asked:
                learnt = await follow(server)
            assert asked == []
            await aclose_clients()
            assert await follow(server) == learnt
            await aclose_clients()

    asyncio.run(main())
