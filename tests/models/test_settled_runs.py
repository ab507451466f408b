"""Runs that have nothing left to do when their answer is complete, and are not made."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import data_snapshot
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelPrice
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, TypeAdapter
from pydantic_ai import Agent, agent, capture_run_messages
from pydantic_ai.capabilities import Hooks
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.run import AgentRunResult
from pydantic_ai.workspaces import WorkspaceRef
from tests.models.plain_ways import QUICK, Run, ask_live, both_ways, plain, saying
from tests.models.upstream import DONE, STOP, Call, Upstream, chunk, event, text, upstream, usage

from launchpad.models import aclose_clients
from launchpad.models.agents.settled_run import SettledRuns
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.config import ModelProvider

ANSWER = [*text("a", " b"), STOP, usage(3, 9), DONE]
CUT = [*text("a"), event(chunk({}, "length")), usage(3, 9), DONE]
HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("Before")], conversation_id="talk"),
    ModelResponse(parts=[TextPart("Then.")], conversation_id="talk"),
]


class Ticket(BaseModel):
    name: str


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The agents whose runs pydantic-ai has made."""
    found: list[str] = []
    build = agent._agent_graph.build_agent_graph

    def noted(name: str | None, *rest: Any) -> Any:
        found.append(name or "")
        return build(name, *rest)

    monkeypatch.setattr(agent._agent_graph, "build_agent_graph", noted)
    return found


async def ask(
    server: Upstream, prompt: str = "Hi", history: Sequence[ModelMessage] = HISTORY, **config: Any
) -> Any:
    return await ask_live(server, prompt, history, **config)


def made(graphs: list[str], *answers: list[bytes], **given: Any) -> list[int]:
    """How many runs are made in turn, one for each of the answers."""

    async def main() -> list[int]:
        sent = iter(answers)

        async def script(call: Call) -> None:
            await call.stream(*next(sent))

        async with upstream(script) as server:
            found: list[int] = []
            for _ in answers:
                graphs.clear()
                await ask(server, **given)
                found.append(len(graphs))
            await aclose_clients()
            return found

    return asyncio.run(main())


def test_once_one_was_made_as_expected_the_next_is_not_made(graphs: list[str]) -> None:
    # The first shows what is asked, the second what counts mean, the third what the run makes.
    assert made(graphs, *[ANSWER] * 6) == [1, 1, 1, 0, 0, 0]


def test_each_way_to_end_is_seen_once(graphs: list[str]) -> None:
    assert made(graphs, *[ANSWER] * 4, CUT, CUT, ANSWER) == [1, 1, 1, 0, 1, 0, 0]


def test_an_answer_that_is_not_only_words_has_its_run_made(graphs: list[str]) -> None:
    refusal = [*text("a"), event(chunk({"refusal": "No."})), STOP, DONE]
    blank = [*text(" "), STOP, usage(3, 9), DONE]
    assert made(graphs, *[ANSWER] * 4, refusal, blank, ANSWER)[3:] == [0, 1, 1, 0]


def test_an_output_that_is_no_text_is_the_runs_to_make(graphs: list[str]) -> None:
    document = [*text('{"name":', ' "Ann"}'), STOP, usage(3, 9), DONE]
    assert made(graphs, *[document] * 6, output_type=Ticket) == [1] * 6


def test_a_conversation_that_has_a_workspace_keeps_it(graphs: list[str]) -> None:
    ref = WorkspaceRef(provider="local", id="here")
    before = [HISTORY[0], ModelResponse(parts=[TextPart("Then.")], workspace_ref=ref)]
    assert made(graphs, *[ANSWER] * 5, history=before) == [1] * 5


def test_a_conversation_of_several_requests_is_merged_as_ever() -> None:
    before = [*HISTORY, ModelRequest(parts=[UserPromptPart("And")]), *HISTORY]
    twice = Run("node", history=[*before, HISTORY[0]])
    usual, found = both_ways(saying(ANSWER), twice.ask, twice.warm)
    assert found == [usual, usual]


def test_all_of_the_result_is_as_pydantic_ai_makes_it() -> None:
    async def look(server: Upstream) -> Any:
        result = await ask(server)
        settled = result.result
        messages = [plain(one) for one in settled.all_messages()]
        asked, answered = result.new_messages()
        return (
            (type(settled), settled.output, settled.usage, settled.metadata, messages),
            [plain(one) for one in settled.new_messages()],
            (plain(settled.response), settled.timestamp == answered.timestamp),
            (settled.workspace.attached, result.workspace.attached),
            [
                [plain(one) for one in ModelMessagesTypeAdapter.validate_json(stored)]
                for stored in (settled.all_messages_json(), settled.new_messages_json())
            ],
            (settled.conversation.conversation_id, settled.conversation.new_message_index),
            {asked.run_id, answered.run_id, settled.run_id} == {result.run_id},
            {asked.conversation_id, answered.conversation_id, result.conversation_id},
            (asked.instructions, answered.model_id, result.is_complete, result.cancelled),
            [one async for one in result.stream_text(debounce_by=None)],
            [one async for one in result.stream_output(debounce_by=None)],
            [plain(one) async for one in result.stream_response(debounce_by=None)],
            await result.get_output(),
        )

    usual, found = both_ways(saying(ANSWER), look, look)
    assert found[0] == found[1]
    # What is read again once the run is over, pydantic-ai reads otherwise where it was streamed.
    assert [one[:9] for one in found] == [usual[:9]] * 2


def test_a_conversation_is_merged_where_one_that_needs_no_merging_was_seen() -> None:
    first, answer = HISTORY
    two = ModelRequest([UserPromptPart("And"), UserPromptPart("Before")], conversation_id="talk")
    apart = [ModelRequest([part], conversation_id="talk") for part in two.parts]
    silent = ModelRequest([], conversation_id="talk")
    said, named = [TextPart("Then.")], {"model_name": "scripted-1", "conversation_id": "talk"}
    for seen, given in (
        ([two, answer], [*apart, answer]),
        (HISTORY, [silent, first, answer]),
        ([first, ModelResponse(said, **named), ModelResponse(said, **named)], [*HISTORY, answer]),
    ):

        async def look(server: Upstream, given: Sequence[ModelMessage] = given) -> Any:
            result = await ask(server, history=given)
            all_of_it = [plain(one) for one in result.all_messages()]
            return all_of_it, len(result.new_messages()), server.calls[-1].body["messages"]

        async def warm(server: Upstream, seen: Sequence[ModelMessage] = seen) -> Any:
            return await ask(server, history=seen)

        usual, found = both_ways(saying(ANSWER), look, warm)
        assert found == [usual, usual]


def test_a_result_names_the_span_that_its_application_has_open() -> None:
    tracer = TracerProvider().get_tracer("application")

    async def look(server: Upstream) -> Any:
        with tracer.start_as_current_span("request") as span:
            result = await ask(server)
        trace_id = f"{span.get_span_context().trace_id:032x}"
        stored = TypeAdapter(AgentRunResult).dump_python(result.result)
        return trace_id in stored["traceparent"]

    usual, found = both_ways(saying(ANSWER), look, ask)
    assert found == [usual, usual] == [True, True]


def test_runs_below_an_applications_span_are_settled_too(graphs: list[str]) -> None:
    with TracerProvider().get_tracer("application").start_as_current_span("process"):
        assert made(graphs, *[ANSWER] * 5) == [1, 1, 1, 0, 0]


def test_what_an_answer_costs_is_filled_in() -> None:
    async def look(server: Upstream) -> Any:
        result = await ask(server, model_provider=ModelProvider.OPENAI, model_name="gpt-4o")
        return result.usage, result.usage.cost, result.response.usage.cost

    named = [one.replace(b"scripted-1", b"gpt-4o") for one in ANSWER]
    usual, found = both_ways(saying(named), look, look)
    assert found == [usual, usual]
    assert usual[1] > 0


def test_what_each_request_costs_is_filled_in_where_nobody_counted_its_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openai = copy.deepcopy(get_snapshot().find_provider(None, "openai", None))
    prices = DataSnapshot([openai], from_auto_update=False)
    _, priced = prices.find_provider_model("gpt-4o", None, "openai", None)
    priced.prices = ModelPrice(requests_kcount=Decimal(5))
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", prices)
    found: list[Any] = []

    async def main() -> None:
        async def script(call: Call) -> None:
            model = call.body["messages"][-1]["content"].encode()
            pieces = [*text("a"), STOP, DONE]
            await call.stream(*[one.replace(b"scripted-1", model) for one in pieces])

        async with upstream(script) as server:
            for model in ("scripted-1",) * 4 + ("gpt-4o",) * 4:
                config = {"model_provider": ModelProvider.OPENAI, "model_name": "gpt-4o"}
                found.append((await ask(server, model, **config)).usage.cost)
            await aclose_clients()

    asyncio.run(main())
    assert found == [None] * 4 + [Decimal("0.005")] * 4


def test_a_result_that_is_another_is_never_left_out() -> None:
    async def main() -> None:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(3):
                await ask(server)
            agent = server.agent(QUICK, instructions="Be brief.")
            known: Any = agent._questions.settled
            seen: list[tuple[Any, Any]] = []

            class Noted(SettledRuns):
                def learn(self, expected: Any, made: Any) -> None:
                    seen.append((expected, made))
                    super().learn(expected, made)

            agent._questions.settled = Noted()
            await ask(server)
            ((expected, made),) = seen
            assert known.result(expected) is not None
            state = made._state
            others = [
                replace(made, output="b"),
                replace(made, _output_tool_name="final"),
                replace(made, _new_message_index=0),
                replace(made, _state=replace(state, metadata={"a": 1})),
                replace(made, _state=replace(state, usage=replace(state.usage, requests=2))),
                replace(made, _state=replace(state, message_history=state.message_history[1:])),
            ]
            for other in others:
                learnt = SettledRuns()
                learnt.learn(expected, other)
                assert learnt.result(expected) is None, other
            await aclose_clients()

    asyncio.run(main())


def test_a_capability_that_agents_are_given_sees_them_all(
    monkeypatch: pytest.MonkeyPatch, graphs: list[str]
) -> None:
    own = Agent.__init__
    heard: list[Any] = []
    hooks: Hooks[Any] = Hooks()
    hooks.on.before_run(lambda ctx: heard.append(ctx.run_id))

    def init(self: Any, *given: Any, capabilities: Sequence[Any] = (), **named: Any) -> None:
        own(self, *given, capabilities=[*capabilities, hooks], **named)

    monkeypatch.setattr(Agent, "__init__", init)
    assert made(graphs, *[ANSWER] * 5) == [1] * 5
    assert len(heard) == 5


def test_who_captures_messages_meanwhile_has_them() -> None:
    async def main() -> None:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(4):
                await ask(server)
            agent = server.agent(QUICK, instructions="Be brief.")
            async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
                live = live_stream(result.run_id)
                assert live is not None
                live.sufficed = True
                with capture_run_messages() as messages:
                    await result.get_output()
            assert [plain(one) for one in messages] == [plain(one) for one in result.all_messages()]
            await aclose_clients()

    asyncio.run(main())


def test_settings_that_are_changed_for_all_runs_are_asked_for() -> None:
    async def main() -> list[Any]:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(4):
                await ask(server, model_settings={"temperature": 0.5})
            agent = server.agent(
                QUICK, instructions="Be brief.", model_settings={"temperature": 0.5}
            )
            agent.model_settings["temperature"] = 0.25
            for _ in range(4):
                await ask(server, model_settings={"temperature": 0.5})
            await aclose_clients()
            return [call.body["temperature"] for call in server.calls]

    assert asyncio.run(main()) == [0.5] * 4 + [0.25] * 4
