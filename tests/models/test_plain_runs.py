"""An agent's runs whose requests were learnt: whoever reads them, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from tests.models.plain_ways import (
    TEXTS,
    WARM,
    Answer,
    Run,
    both_ways,
    mapped,
    plain,
    saying,
)
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

from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.scope import RequestScope, request_scope

HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("Before")], instructions="Others then."),
    ModelResponse(parts=[TextPart("Then.")]),
]


WAYS = ["live", "node", "settled", "output", "deltas", "snapshots", "responses"]
ANSWERS: dict[str, Sequence[bytes]] = {
    "text": [*text("a", " b"), STOP, usage(3, 9), DONE],
    "nothing": [*text(), STOP, usage(3, 9), DONE],
    "no counts": [*text("a"), STOP, DONE],
    "reasoning first": [event(chunk({"reasoning": "hm"})), *text("a"), STOP, usage(3, 9), DONE],
    "reasoning between": [
        *text("a"),
        event(chunk({"reasoning": "hm"})),
        *text("b")[1:],
        STOP,
        usage(3, 9),
        DONE,
    ],
    "thinking in tags": [*text("<think>", "hm", "</think>", "a"), STOP, DONE],
    "a refusal": [*text(), event(chunk({"refusal": "No."})), STOP, usage(3, 9), DONE],
    "a refusal after text": [*text("a"), event(chunk({"refusal": "No."})), STOP, DONE],
    "a call of nobody's": [
        *text("a"),
        event(chunk(tool_call(0, id="1", name="f", arguments="{}"))),
        event(chunk({}, "tool_calls")),
        DONE,
    ],
    "cut by length": [*text("a"), event(chunk({}, "length")), usage(3, 9), DONE],
    "filtered": [*text("a"), event(chunk({}, "content_filter")), usage(3, 9), DONE],
    "white space": [*text(" ", "\n"), STOP, usage(3, 9), DONE],
    "no finish": [*text("a"), DONE],
    "a cut": text("a", "b"),
    "garbage": [*text("a"), b"data: {half\n\n"],
    "an error": [*text("a"), event({"error": {"message": "no", "code": 429}})],
    "an error at once": [event({"error": {"message": "no", "code": 429}})],
    "nothing at all": [],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [0, -1])
@pytest.mark.parametrize("name", ANSWERS)
def test_whoever_reads_it(name: str, cut: int, way: str) -> None:
    run = Run(way, history=HISTORY)
    usual, learnt = both_ways(saying(ANSWERS[name], cut), run.ask, run.warm, late=False)
    assert learnt == [usual, usual]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [0, -1])
@pytest.mark.parametrize("name", ANSWERS)
def test_whoever_reads_an_answer_that_was_asked_for_before_the_run(
    name: str, cut: int, way: str
) -> None:
    run, warm = Run(way, history=HISTORY), Run("node", history=HISTORY)
    usual, late = both_ways(saying(ANSWERS[name], cut), run.ask, warm.warm)
    assert late == [usual, usual]


def test_they_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("live", history=HISTORY)
    with mapped(monkeypatch) as asked:
        both_ways(saying(ANSWERS["text"]), run.ask, run.warm)
    assert asked == ["Hi", *[WARM, WARM] * 2]


def refusing(status: int, body: object, *headers: str) -> Answer:
    async def answer(call: Call) -> None:
        await call.refuse(status, body, *headers)

    return answer


async def hangs(call: Call) -> None:
    await call.wait_closed()


async def hangs_after_its_head(call: Call) -> None:
    await call.start()
    await call.wait_closed()


async def stalls(call: Call) -> None:
    await call.start()
    await call.send(b"".join(text("a")))
    await call.wait_closed()


async def closes(call: Call) -> None:
    call.writer.close()


async def answers_whole(call: Call) -> None:
    message = {"role": "assistant", "content": "whole"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.refuse(200, {"id": "1", "created": 1, "model": "m", "choices": [choice]})


@pytest.mark.parametrize("way", ["live", "node", "output"])
@pytest.mark.parametrize(
    "answer",
    [
        refusing(401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}),
        refusing(404, {"error": {"message": "no such model", "code": "model_not_found"}}),
        refusing(400, {"error": {"message": "long", "code": "context_length_exceeded"}}),
        refusing(429, {"error": {"message": "slow down"}}, "Retry-After: 7"),
        refusing(500, {"error": {"message": "oops"}}),
        refusing(502, b"<html>Bad gateway</html>"),
        hangs,
        hangs_after_its_head,
        stalls,
        closes,
        answers_whole,
    ],
    ids=["401", "404", "400", "429", "500", "502", "hangs", "head", "stalls", "closes", "whole"],
)
def test_what_goes_wrong(answer: Answer, way: str) -> None:
    run = Run(way)
    usual, learnt = both_ways(answer, run.ask, run.warm)
    assert learnt == [usual, usual]


@pytest.mark.parametrize("way", ["live", "node"])
def test_nobody_listens_any_more(way: str) -> None:
    run = Run(way)

    async def main() -> tuple[Any, Any]:
        async with upstream(saying(ANSWERS["text"])) as server:
            for _ in range(3):
                await run.ask(server)
        learnt = await run.ask(server)
        await aclose_clients()
        usual = await run.ask(server)
        await aclose_clients()
        return usual, learnt

    usual, learnt = asyncio.run(main())
    assert learnt == usual
    assert "could not be reached" in str(usual)


@asynccontextmanager
async def held(server: Upstream, run: Run) -> AsyncIterator[tuple[Any, Any]]:
    """A run whose upstream says one word and then waits for its end."""
    agent = server.agent(**run.config)
    async with agent.run_stream("Hi") as result:
        yield result, live_stream(result.run_id)


async def one_word(call: Call) -> None:
    await call.start()
    await call.send(b"".join(text("word")))
    await call.wait_closed()


@pytest.mark.parametrize("warm", ["live", "node"])
@pytest.mark.parametrize("while_reading", [True, False])
def test_a_result_that_is_cancelled(while_reading: bool, warm: str) -> None:
    run = Run(warm)

    async def ask(server: Upstream) -> Any:
        async with held(server, run) as (result, _):
            words = result.stream_text(delta=True, debounce_by=None)
            got = [await anext(words)]
            rest = asyncio.ensure_future(anext(words, None)) if while_reading else None
            await asyncio.sleep(0.01)
            await result.cancel()
            got.append(await rest if rest is not None else await anext(words, None))
            before = (result.cancelled, plain(result.response), result.usage)
        await asyncio.wait_for(server.calls[-1].closed.wait(), 5)
        return got, before, plain(result.response), [plain(one) for one in result.all_messages()]

    usual, learnt = both_ways(one_word, ask, run.warm)
    assert learnt == [usual, usual]
    assert usual[0][0] == "word"


@pytest.mark.parametrize("warm", ["live", "node"])
@pytest.mark.parametrize("way", ["live", "words"])
def test_a_run_that_is_left_early_closes_its_upstream(way: str, warm: str) -> None:
    run = Run(warm)

    async def ask(server: Upstream) -> Any:
        async with held(server, run) as (result, live):
            if way == "live":
                first: Any = await anext(aiter(live.events("N", structured=False)))
            else:
                first = await anext(result.stream_text(delta=True, debounce_by=None))
        # What it had said by then is the history's; pydantic-ai has not looked at it live.
        await asyncio.wait_for(server.calls[-1].closed.wait(), 5)
        return first, result.usage

    usual, learnt = both_ways(one_word, ask, run.warm)
    assert learnt == [usual, usual]


@pytest.mark.parametrize("warm", ["live", "node"])
def test_two_at_once_and_what_was_said_before(warm: str) -> None:
    async def ask(server: Upstream) -> Any:
        agent = server.agent(instructions="Be brief.")

        async def one(number: int) -> Any:
            history: list[ModelMessage] = []
            for _ in range(3):
                async with agent.run_stream(f"{number}", message_history=history) as result:
                    live = live_stream(result.run_id)
                    assert live is not None
                    async for _ in live.batches("N", structured=False):
                        pass
                    live.sufficed = warm == "node"
                    await result.get_output()
                history = result.all_messages()
            return [plain(message) for message in history]

        return await asyncio.gather(*(one(number) for number in range(5)))

    async def echo(call: Call) -> None:
        said = [message["content"] for message in call.body["messages"]]
        await call.stream(*text(*said), STOP, usage(len(said), 90), DONE)

    usual, learnt = both_ways(echo, ask, Run(warm).warm)
    assert learnt == [usual, usual]
    assert len(usual[0]) == 6


TURNS = st.lists(
    st.one_of(
        st.builds(
            ModelRequest,
            parts=st.lists(
                st.one_of(TEXTS.map(SystemPromptPart), TEXTS.map(UserPromptPart)),
                min_size=1,
                max_size=2,
            ),
            instructions=st.one_of(st.none(), TEXTS),
        ),
        TEXTS.map(lambda said: ModelResponse(parts=[TextPart(said)])),
    ),
    max_size=4,
)
ROUND = st.tuples(
    TEXTS,
    TURNS,
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 1, 1.0, 0.5]),
            "max_tokens": st.integers(1, 3),
            "stop_sequences": st.lists(st.sampled_from(["a", "b"]), max_size=2),
            "seed": st.integers(0, 2),
            "logit_bias": st.just({"1": 1}),
            "extra_body": st.just({"top_k": 3}),
            "timeout": st.just(60.0),
        },
    ),
)


async def read_live(result: Any) -> None:
    """As a node does: later runs are asked for before they begin."""
    live = live_stream(result.run_id)
    assert live is not None
    async for _ in live.batches("N", structured=False):
        pass
    live.sufficed = True


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rounds=st.lists(ROUND, min_size=1, max_size=5),
    config=st.fixed_dictionaries(
        {}, optional={"instructions": TEXTS, "system_prompt": st.one_of(TEXTS, st.lists(TEXTS))}
    ),
)
def test_what_is_sent_is_what_pydantic_ai_sends(
    rounds: list[tuple[str, list[ModelMessage], dict[str, Any]]], config: dict[str, Any]
) -> None:
    async def bodies(server: Upstream, *, fresh: bool) -> Any:
        before, kept = len(server.calls), []
        for prompt, history, given_settings in rounds * 3:
            token = request_scope.set(RequestScope(settings=given_settings))  # type: ignore[arg-type]
            agent = server.agent(**config)
            async with agent.run_stream(prompt, message_history=history) as result:
                if not fresh:
                    await read_live(result)
                await result.get_output()
            kept.append([plain(one) for one in result.all_messages()])
            request_scope.reset(token)
            if fresh:
                await aclose_clients()
        # As text: the order of the fields counts too.
        return [(call.head, json.dumps(call.body)) for call in server.calls[before:]], kept

    async def main() -> None:
        async with upstream(saying(ANSWERS["text"])) as server:
            mapped_ones = await bodies(server, fresh=True)
            assert await bodies(server, fresh=False) == mapped_ones
            await aclose_clients()

    asyncio.run(main())
