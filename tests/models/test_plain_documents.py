"""Learnt requests for JSON of a schema, and who else is told of a learnt run's events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, Hooks
from pydantic_ai.messages import FinalResultEvent, PartEndEvent, PartStartEvent
from pydantic_ai.output import NativeOutput, PromptedOutput
from tests.models.plain_ways import QUICK, Run, both_ways, joined, mapped, saying
from tests.models.upstream import DONE, STOP, Call, Upstream, chunk, event, text, usage

from launchpad.models.agents.streaming_model import live_stream

WORDS = [*text("a", " b"), STOP, usage(3, 9), DONE]


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
@pytest.mark.parametrize("late", [False, True])
def test_whoever_reads_a_document(name: str, cut: int, way: str, late: bool) -> None:
    run = Run(way, output_type=Ticket)
    warm = Run("node", output_type=Ticket) if late else run
    usual, learnt = both_ways(saying(JSON[name], cut), run.ask, warm.warm)
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
    # The first of each form that is learnt, thrice anew, the answer that shows what its counts
    # mean, and each of the one form that is not learnt.
    assert asked == ["Hi"] * (6 + (6 + 1) + (6 + 1) + 8)
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

    usual, learnt = both_ways(saying(WORDS), ask, Run("live").warm)
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

    both_ways(saying(WORDS), ask, Run("live").warm, times=1)
    assert {PartStartEvent, PartEndEvent} <= {type(one) for one in heard}
