"""Runs that are made when their answer's words are over: what they look like until then."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pydantic_ai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, InstructionPart, capture_run_messages
from pydantic_ai._agent_graph import GraphAgentState
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.result import StreamedRunResult
from pydantic_ai.usage import RunUsage, UsageLimits
from tests.models.plain_ways import QUICK, Answer, Run, both_ways, plain, saying
from tests.models.upstream import DONE, STOP, Call, Upstream, text, upstream, usage

from launchpad.errors import NodeError
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.live.result import ResultLive

ANSWER = [*text("a", " b"), STOP, usage(3, 9), DONE]
HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("Before")], conversation_id="talk"),
    ModelResponse(parts=[TextPart("Then.")], conversation_id="talk"),
]
NODE = Run("node", history=HISTORY)
Look = Callable[[Any, Any], Awaitable[Any]]


class Named(BaseModel):
    name: str


async def read(live: Any, *, enough: bool = True) -> None:
    async for _ in live.batches("N", structured=False):
        pass
    live.counted = live.sufficed = enough


def looking(look: Look, **given: Any) -> Callable[[Upstream], Awaitable[Any]]:
    """Ask as a node does, and `look` at the result and its live stream."""

    async def ask(server: Upstream) -> Any:
        agent = server.agent(QUICK, **NODE.config)
        given.setdefault("message_history", list(HISTORY))
        async with agent.run_stream("Hi", **given) as result:
            live = live_stream(result.run_id)
            assert live is not None
            return await look(result, live)

    return ask


def late(look: Look, answer: Answer | None = None, **given: Any) -> Any:
    """What `look` finds in a run that is made late, once it found the same in a usual one."""
    usual, found = both_ways(answer or saying(ANSWER), looking(look, **given), NODE.warm, times=1)
    assert found == [usual]
    return usual


def is_made(result: Any) -> bool:
    """Whether pydantic-ai has begun the run."""
    try:
        return result.workspace is not None
    except UserError:
        return False


async def when_made(result: Any, live: Any) -> list[bool]:
    seen = [is_made(result)]
    await read(live)
    seen.append(is_made(result))
    await result.get_output()
    return [*seen, is_made(result)]


def made(**given: Any) -> list[bool]:
    """Whether there is a run before the words, behind them, and with the output."""
    ask = looking(when_made, **given)
    usual, found = both_ways(saying(ANSWER), ask, ask, times=1)
    assert usual == [True, True, True]
    return list(found[0])


def test_until_then_there_is_no_run() -> None:
    def runs() -> int:
        return sum(isinstance(one, GraphAgentState) for one in gc.get_objects()) - len(others)

    async def look(result: Any, live: Any) -> Any:
        gc.collect()
        before = runs()
        await read(live)
        await result.get_output()
        return before, runs()

    gc.collect()
    # Held here: what other tests have left does not go meanwhile.
    others = [one for one in gc.get_objects() if isinstance(one, GraphAgentState)]
    _, found = both_ways(saying(ANSWER), looking(look), NODE.warm, times=1)
    assert found == [(0, 1)]


def test_the_run_is_made_once_the_output_is_asked_for() -> None:
    assert made() == [False, False, True]
    assert made(message_history=None) == [False, False, True]
    assert made(deps=object()) == [False, False, True]
    marked: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart("Is [1] < 2 & <b>so</b>?")]),
        ModelResponse(parts=[TextPart("Yes, [1](a).")]),
    ]
    assert made(message_history=marked) == [False, False, True]
    told: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart("Be brief.")])]
    assert made(message_history=told) == [False, False, True]


@pytest.mark.parametrize(
    "given",
    [
        {"usage": RunUsage()},
        {"usage_limits": UsageLimits(request_limit=1)},
        {"instructions": "Else."},
        {"model_settings": {"temperature": 0.5}},
        {"run_id": "mine"},
        {"conversation_id": "new"},
        {"metadata": {"a": 1}},
        {"message_history": [ModelRequest(parts=[UserPromptPart("<system>")])]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_run_that_is_given_more_begins_at_once(given: dict[str, Any]) -> None:
    assert made(**given) == [True, True, True]


def test_a_pydantic_ai_that_nobody_has_looked_into_begins_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pydantic_ai, "__version__", "2.69.0")
    assert made() == [True, True, True]


def test_traces_show_when_a_run_began() -> None:
    Agent.instrument_all(InstrumentationSettings())
    try:
        assert made() == [True, True, True]
    finally:
        Agent.instrument_all(False)


def test_captured_messages_are_there_when_the_answer_breaks_off() -> None:
    async def ask(server: Upstream) -> Any:
        agent = server.agent(QUICK, **NODE.config)
        with capture_run_messages() as messages:
            try:
                async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
                    live = live_stream(result.run_id)
                    assert live is not None
                    await read(live)
            except Exception as error:  # noqa: BLE001  whatever it is, it must be the same
                return type(error), [plain(one) for one in messages[:3]]
        raise AssertionError("The answer broke off.")

    usual, found = both_ways(saying(text("a")), ask, NODE.warm)
    assert found == [usual, usual]
    assert len(usual[1]) == 3


def test_all_that_a_result_tells_is_the_same_before_and_after() -> None:
    def told(result: Any) -> Any:
        request = result.new_messages()[0]
        return (
            [plain(one) for one in result.all_messages()],
            [plain(one) for one in result.new_messages()],
            plain(result.response),
            result.usage,
            result.metadata,
            result.cancelled,
            result.is_complete,
            result.conversation_id,
            request.conversation_id,
            request.run_id == result.run_id,
            request.parts[0].timestamp <= request.timestamp <= result.timestamp,
        )

    async def look(result: Any, live: Any) -> Any:
        assert isinstance(result, StreamedRunResult)
        before = told(result)
        with pytest.raises(UserError, match="still streaming"):
            _ = result.result
        ids = result.run_id, result.conversation_id, result.timestamp
        await read(live)
        output = await result.get_output()
        assert ids == (result.run_id, result.conversation_id, result.timestamp)
        again = await result.get_output()
        return before, output, again, told(result), result.result.output, result.result.usage

    usual = late(look)
    assert usual[1] == "a b"
    assert usual[0][7] == "talk"


def test_a_request_says_when_it_was_sent() -> None:
    async def look(result: Any, live: Any) -> Any:
        sent = result.new_messages()[0].timestamp
        await read(live)
        await asyncio.sleep(0.01)
        await result.get_output()
        request = result.new_messages()[0]
        return request.timestamp == sent, request.parts[0].timestamp <= sent

    assert late(look) == (True, True)


def test_messages_that_were_asked_for_early_grow() -> None:
    async def look(result: Any, live: Any) -> Any:
        messages = result.all_messages()
        await read(live)
        await result.get_output()
        return [plain(one) for one in messages]

    assert len(late(look)) == 4


def test_a_history_may_be_changed_meanwhile() -> None:
    async def ask(server: Upstream) -> Any:
        agent = server.agent(QUICK, **NODE.config)
        history = list(HISTORY)
        async with agent.run_stream("Hi", message_history=history) as result:
            live = live_stream(result.run_id)
            assert live is not None
            history.append(ModelRequest(parts=[UserPromptPart("Hi")]))
            await read(live)
            await result.get_output()
        return [plain(one) for one in result.all_messages()]

    usual, found = both_ways(saying(ANSWER), ask, NODE.warm)
    assert found == [usual, usual]


def test_the_words_may_be_read_within_a_scope_of_the_nodes_own() -> None:
    async def look(result: Any, live: Any) -> Any:
        with anyio.fail_after(5):
            await read(live)
            output = await result.get_output()
        await anyio.lowlevel.checkpoint()
        return output

    assert late(look) == "a b"


def test_an_output_that_does_not_fit_is_told_as_ever() -> None:
    class Person(BaseModel):
        name: str

    run = Run("node", output_type=Person)
    pieces = [*text('{"nam', 'e": 1}'), STOP, usage(3, 9), DONE]
    usual, found = both_ways(saying(pieces), run.ask, run.warm)
    assert found == [usual, usual]
    assert "validation" in str(usual)


def test_one_that_reads_by_other_means_makes_later_runs_begin_at_once() -> None:
    async def look(result: Any, live: Any) -> Any:
        before = is_made(result)
        words = [one async for one in result.stream_text(delta=True, debounce_by=None)]
        return before, "".join(words)

    _, found = both_ways(saying(ANSWER), looking(look), NODE.warm, times=3)
    assert found == [(False, "a b"), (True, "a b"), (True, "a b")]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("how", ["output", "text"])
def test_a_run_that_was_cancelled_before_it_was_made_is_cancelled(how: str, whole: bool) -> None:
    async def half(call: Call) -> None:
        await call.start()
        await call.send(b"".join(text("a")))
        await call.wait_closed()

    async def look(result: Any, live: Any) -> Any:
        batches = live.batches("N", structured=False)
        await anext(batches)
        await result.cancel()
        told = plain(result.response)
        async for _ in batches:
            pass
        live.counted = live.sufficed = how == "output"
        if how == "output":
            output = await result.get_output()
        else:
            output = [one async for one in result.stream_text(debounce_by=None)]
        messages = [plain(one) for one in result.all_messages()]
        return output, result.cancelled, told, plain(result.response), result.usage, messages

    usual = late(look, saying(ANSWER) if whole else half)
    assert usual[1] is True
    assert [one.state for one in usual[2:4]] == ["interrupted", "interrupted"]
    assert len(usual[5]) == 4


def test_an_answer_whose_output_is_there_is_not_read_live_again() -> None:
    async def look(result: Any, live: Any) -> Any:
        await read(live)
        before = live_stream(result.run_id) is live
        await result.get_output()
        return before, live_stream(result.run_id)

    assert late(look) == (True, None)


def test_words_of_a_run_that_was_left_are_refused_as_ever() -> None:
    async def ask(server: Upstream) -> Any:
        agent = server.agent(QUICK, **NODE.config)
        async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
            pass
        assert live_stream(result.run_id) is None
        with pytest.raises(NodeError) as raised:
            await read(ResultLive(result))
        return str(raised.value)

    usual, found = both_ways(saying(ANSWER), ask, NODE.warm)
    assert found == [usual, usual]
    assert "closed before it was read" in usual


def test_a_result_that_was_left_unread_has_no_output() -> None:
    async def ask(server: Upstream) -> Any:
        agent = server.agent(QUICK, **NODE.config)
        async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
            pass
        with pytest.raises(UserError) as raised:
            await result.get_output()
        return live_stream(result.run_id), str(raised.value)

    async def main() -> Any:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(2):
                await NODE.ask(server)
            left = await ask(server)
            await aclose_clients()
            return left

    assert asyncio.run(main()) == (None, "The run was left before anybody asked for its output.")


def test_a_message_may_be_changed_meanwhile() -> None:
    async def look(result: Any, live: Any) -> Any:
        before = is_made(result)
        history[0].parts[0].content += "!"
        await read(live)
        return before, await result.get_output()

    history: list[Any] = [
        ModelRequest(parts=[UserPromptPart("Before")]),
        ModelResponse(parts=[TextPart("Then.")]),
    ]
    ask = looking(look, message_history=history)
    _, found = both_ways(saying(ANSWER), ask, NODE.warm, times=2)
    assert found == [(False, "a b"), (False, "a b")]


@pytest.mark.parametrize("way", ["get_output", "stream_output"])
def test_settings_of_all_runs_may_be_changed_meanwhile(way: str) -> None:
    document = [*text('{"name":', ' "Ann"}'), STOP, usage(3, 9), DONE]

    async def main() -> None:
        async with upstream(saying(document)) as server:
            config = {"output_type": Named, "model_settings": {"temperature": 0.5}}
            node = Run("node", **config)
            for _ in range(3):
                await node.ask(server)
            agent = server.agent(QUICK, **node.config)
            async with agent.run_stream("Hi") as result:
                live = live_stream(result.run_id)
                assert live is not None
                await read(live)
                agent.model_settings["temperature"] = 0.25
                if way == "get_output":
                    assert await result.get_output() == Named(name="Ann")
                else:
                    outputs = [one async for one in result.stream_output(debounce_by=None)]
                    assert outputs[-1] == Named(name="Ann")
            await node.ask(server)
            assert [call.body["temperature"] for call in server.calls] == [0.5] * 4 + [0.25]
            await aclose_clients()

    asyncio.run(main())


def test_a_run_that_asks_something_else_fails_and_is_the_last_that_is_late() -> None:
    async def main() -> Any:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(2):
                await NODE.ask(server)
            questions = server.agent(QUICK, **NODE.config)._questions
            parts = [InstructionPart("Be long.")]
            other = replace(questions.question.parameters, instruction_parts=parts)
            questions._question = replace(questions.question, parameters=other)
            with pytest.raises(RuntimeError, match="not asked what was expected"):
                await looking(when_made)(server)
            later = await looking(when_made)(server)
            await aclose_clients()
            return later

    assert asyncio.run(main()) == [True, True, True]
