"""An agent's runs whose requests were learnt: whoever reads them, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, Hooks
from pydantic_ai.messages import (
    FinalResultEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartEndEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.output import NativeOutput, PromptedOutput
from tests.models.plain_ways import (
    WARM,
    Answer,
    both_ways,
    failure,
    joined,
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

from launchpad.events import Delta, TextDelta
from launchpad.models import aclose_clients
from launchpad.models.scope import RequestScope, Spent, request_scope, spent_here
from launchpad.models.streaming import live_stream
from launchpad.settings import Settings

QUICK = Settings(first_token_timeout=0.3, stall_timeout=0.3)
HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("Before")], instructions="Others then."),
    ModelResponse(parts=[TextPart("Then.")]),
]


def joined_deltas(heard: Sequence[Delta]) -> list[Any]:
    """One entry for the texts that follow each other."""
    found: list[Any] = []
    for one in heard:
        if isinstance(one, TextDelta) and found and isinstance(found[-1], str):
            found[-1] += one.text
        else:
            found.append(one.text if isinstance(one, TextDelta) else one)
    return found


class Run:
    """Reads one run of an agent in the way that its name says, and tells what came of it."""

    def __init__(self, way: str, *, history: Sequence[ModelMessage] = (), **config: Any) -> None:
        self.way = way
        self.history = history
        self.config = {"instructions": "Be brief.", **config}

    async def ask(self, server: Upstream, prompt: str = "Hi") -> Any:
        heard: list[Any] = []
        spent = Spent()
        token = spent_here.set(spent)
        agent = server.agent(QUICK, **self.config)
        try:
            async with agent.run_stream(prompt, message_history=list(self.history)) as result:
                live = live_stream(result.run_id)
                assert live is not None
                said = await getattr(self, self.way)(result, live, heard)
            after = [plain(one) for one in result.all_messages()]
            seen: Any = (said, result.usage, plain(result.response), after)
        except Exception as raised:  # noqa: BLE001  whatever it is, it must be the same
            seen = failure(raised)
        finally:
            spent_here.reset(token)
        return heard, seen, spent.usages, spent.finish_reason

    async def warm(self, server: Upstream) -> Any:
        return await self.ask(server, WARM)

    async def live(self, result: Any, live: Any, heard: list[Any]) -> Any:
        got: list[Delta] = []
        try:
            async for one in live.events("N", structured="output_type" in self.config):
                got.append(one)  # noqa: PERF401  they stay when it fails
        finally:
            heard += joined_deltas(got)
        output = await result.get_output()
        return output, live.finish_reason, live.usage, live.refused

    async def node(self, result: Any, live: Any, heard: list[Any]) -> Any:
        live.sufficed = True
        return await self.live(result, live, heard)

    async def settled(self, result: Any, live: Any, heard: list[Any]) -> Any:
        live.sufficed = True
        async for one in live.events("N", structured=True):
            heard.append(one)  # noqa: PERF401  they stay when it fails
        seen = [one async for one in result.stream_response(debounce_by=None)]
        return result.result.output, plain(seen[-1])

    async def output(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return await result.get_output()

    async def deltas(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return "".join([one async for one in result.stream_text(delta=True, debounce_by=None)])

    async def snapshots(self, result: Any, live: Any, heard: list[Any]) -> Any:
        # Debounced: pydantic-ai asks for each event in a task of its own.
        return [one async for one in result.stream_text(debounce_by=0.001)][-1:]

    async def responses(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return plain([one async for one in result.stream_response(debounce_by=None)][-1])


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
    usual, learnt = both_ways(saying(ANSWERS[name], cut), run.ask, run.warm)
    assert learnt == [usual, usual]


def test_they_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("live", history=HISTORY)
    with mapped(monkeypatch) as asked:
        both_ways(saying(ANSWERS["text"]), run.ask, run.warm)
    assert asked == ["Hi", WARM, WARM]


class Ticket(BaseModel):
    title: str
    lines: list[int] = []


class Other(BaseModel):
    title: str
    lines: list[str] = []


JSON: dict[str, Sequence[bytes]] = {
    "a document": [*text('{"title": "a', '", "lines": [1, ', "2]}"), STOP, usage(3, 9), DONE],
    "another": [*text('{"lines": [1]}'), STOP, usage(3, 9), DONE],
    "words": [*text("Sure! Here it is."), STOP, usage(3, 9), DONE],
    "cut off": [*text('{"title": "a'), event(chunk({}, "length")), usage(3, 9), DONE],
    "refused": [*text(), event(chunk({"refusal": "No."})), STOP, usage(3, 9), DONE],
    "broken": [*text('{"title": "a'), b"data: {half\n\n"],
    "nothing": [*text(), STOP, usage(3, 9), DONE],
}


@pytest.mark.parametrize("way", ["live", "node", "settled", "output", "responses"])
@pytest.mark.parametrize("cut", [0, -1])
@pytest.mark.parametrize("name", JSON)
def test_whoever_reads_a_document(name: str, cut: int, way: str) -> None:
    run = Run(way, output_type=Ticket)
    usual, learnt = both_ways(saying(JSON[name], cut), run.ask, run.warm)
    assert learnt == [usual, usual]


def test_requests_for_a_document_are_learnt_and_not_mixed_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Any] = []

    async def answer(call: Call) -> None:
        sent.append(call.body)
        await saying(JSON["a document"])(call)

    async def ask(server: Upstream) -> Any:
        return [await run.ask(server) for run in runs]

    forms: list[Any] = [
        Ticket,
        Other,
        str,
        NativeOutput(Ticket, name="named"),
        NativeOutput(Ticket, description="Said."),
        NativeOutput(Ticket, strict=False),
        PromptedOutput(Ticket),
    ]
    runs = [Run("settled", output_type=form) for form in forms]
    with mapped(monkeypatch) as asked:
        usual, learnt = both_ways(answer, ask, ask, times=1)
    assert learnt == [usual]
    # The first of each form that is learnt, here and there, the answer that shows what its counts
    # mean, and each of the one form that is not learnt.
    assert asked == ["Hi"] * (6 + 6 + 1 + 5)
    assert sent[-7:] == sent[:7]
    assert len({json.dumps(one) for one in sent[:7]}) == 7


class Listener(AbstractCapability[Any]):
    """Hears a run's events beside whoever reads its result."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def wrap_run_event_stream(
        self, ctx: Any, *, stream: AsyncIterable[Any]
    ) -> AsyncIterator[Any]:
        async for one in stream:
            self.heard.append(one)
            yield one


@pytest.mark.parametrize("way", ["live", "node"])
def test_who_listens_to_the_run_is_told_its_events_all_the_same(way: str) -> None:
    async def ask(server: Upstream) -> Any:
        listener, run = Listener(), Run(way)
        agent = server.agent(QUICK, **run.config)
        async with agent.run_stream("Hi", capabilities=[listener]) as result:
            said = await getattr(run, way)(result, live_stream(result.run_id), [])
        # When the final result is announced is another matter: `AgentView` does it at once.
        return said, joined(
            [one for one in listener.heard if not isinstance(one, FinalResultEvent)]
        )

    usual, learnt = both_ways(saying(ANSWERS["text"]), ask, Run("live").warm)
    assert learnt == [usual, usual]
    assert [type(one) for one in usual[1]] == [PartStartEvent, PartEndEvent]


@pytest.mark.parametrize("when", ["between runs", "within a run"])
def test_so_is_who_comes_late(when: str) -> None:
    heard: list[Any] = []

    async def ask(server: Upstream) -> Any:
        hooks: Hooks[Any] = Hooks()
        agent = Agent(server.agent(QUICK).model, capabilities=[hooks])

        async def run(*, listens: bool) -> None:
            async with agent.run_stream("Hi") as result:
                if listens:
                    hooks.on.event(lambda ctx, event: heard.append(event))
                await Run("node").node(result, live_stream(result.run_id), [])

        for _ in range(3):
            await run(listens=False)
        if when == "between runs":
            hooks.on.event(lambda ctx, event: heard.append(event))
        await run(listens=when == "within a run")

    both_ways(saying(ANSWERS["text"]), ask, Run("live").warm, times=1)
    assert {PartStartEvent, PartEndEvent} <= {type(one) for one in heard}


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


@pytest.mark.parametrize("way", ["live", "output"])
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


def test_nobody_listens_any_more() -> None:
    run = Run("live")

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


@pytest.mark.parametrize("while_reading", [True, False])
def test_a_result_that_is_cancelled(while_reading: bool) -> None:
    run = Run("live")

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


@pytest.mark.parametrize("way", ["live", "words"])
def test_a_run_that_is_left_early_closes_its_upstream(way: str) -> None:
    run = Run("live")

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


def test_two_at_once_and_what_was_said_before() -> None:
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
                    await result.get_output()
                history = result.all_messages()
            return [plain(message) for message in history]

        return await asyncio.gather(*(one(number) for number in range(5)))

    async def echo(call: Call) -> None:
        said = [message["content"] for message in call.body["messages"]]
        await call.stream(*text(*said), STOP, usage(len(said), 90), DONE)

    usual, learnt = both_ways(echo, ask, Run("live").warm)
    assert learnt == [usual, usual]
    assert len(usual[0]) == 6


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TURNS = st.lists(
    st.one_of(
        st.builds(
            ModelRequest,
            parts=st.lists(
                st.one_of(TEXT.map(SystemPromptPart), TEXT.map(UserPromptPart)),
                min_size=1,
                max_size=2,
            ),
            instructions=st.one_of(st.none(), TEXT),
        ),
        TEXT.map(lambda said: ModelResponse(parts=[TextPart(said)])),
    ),
    max_size=4,
)
ROUND = st.tuples(
    TEXT,
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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rounds=st.lists(ROUND, min_size=1, max_size=5),
    config=st.fixed_dictionaries(
        {}, optional={"instructions": TEXT, "system_prompt": st.one_of(TEXT, st.lists(TEXT))}
    ),
)
def test_what_is_sent_is_what_pydantic_ai_sends(
    rounds: list[tuple[str, list[ModelMessage], dict[str, Any]]], config: dict[str, Any]
) -> None:
    async def bodies(server: Upstream, *, fresh: bool) -> list[tuple[str, str]]:
        before = len(server.calls)
        for prompt, history, given_settings in rounds * 3:
            token = request_scope.set(RequestScope(settings=given_settings))  # type: ignore[arg-type]
            agent = server.agent(**config)
            async with agent.run_stream(prompt, message_history=history) as result:
                await result.get_output()
            request_scope.reset(token)
            if fresh:
                await aclose_clients()
        # As text: the order of the fields counts too.
        return [(call.head, json.dumps(call.body)) for call in server.calls[before:]]

    async def main() -> None:
        async with upstream(saying(ANSWERS["text"])) as server:
            mapped_ones = await bodies(server, fresh=True)
            assert await bodies(server, fresh=False) == mapped_ones
            await aclose_clients()

    asyncio.run(main())
