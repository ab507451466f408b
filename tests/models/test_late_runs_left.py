"""Runs that are made late, for nodes that leave them, or read them in scopes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from tests.models.plain_ways import QUICK, Run, both_ways, plain, saying
from tests.models.upstream import DONE, STOP, Call, Upstream, text, upstream, usage

from launchpad.models import aclose_clients
from launchpad.models.agents.settled_run import SettledRuns
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.scope import Spent, spent_here

ANSWER = [*text("a", " b"), STOP, usage(3, 9), DONE]
HISTORY: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("Before")]),
    ModelResponse(parts=[TextPart("Then.")]),
]
NODE = Run("node", history=HISTORY)
Look = Callable[[Any], Awaitable[Any]]


def looking(look: Look) -> Callable[[Upstream], Awaitable[Any]]:
    """Have `look` read a run in a task, and tell what it found, what is known, and what it took."""

    async def ask(server: Upstream) -> Any:
        async def node() -> Any:
            spent = Spent()
            spent_here.set(spent)
            agent = server.agent(QUICK, **NODE.config)
            async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
                found = await look(result)
            # A scope that was broken cancels what comes after it.
            await anyio.lowlevel.checkpoint()
            messages = [plain(one) for one in result.all_messages()]
            known = result.cancelled, result.is_complete, messages, live_stream(result.run_id)
            return found, known, spent.usages, spent.open_runs

        return await asyncio.create_task(node())

    return ask


def late(look: Look) -> Any:
    """What `look` finds in a run that is made late, once it found the same in a usual one."""
    usual, found = both_ways(saying(ANSWER), looking(look), NODE.warm, times=1)
    assert found == [usual]
    return usual


async def read_live(result: Any) -> None:
    live = live_stream(result.run_id)
    assert live is not None
    async for _ in live.batches("N", structured=False):
        pass
    live.counted = live.sufficed = True


async def words(result: Any) -> list[str]:
    return [one async for one in result.stream_text(delta=True)]


async def first_response(result: Any) -> Any:
    async for response in result.stream_response(debounce_by=None):
        return plain(response)
    raise AssertionError("There is one.")


async def validated(result: Any) -> Any:
    return await result.validate_response_output(result.response, allow_partial=True)


@pytest.mark.parametrize("read", [words, first_response, validated])
def test_one_may_read_by_other_means_in_a_scope_of_ones_own(read: Look) -> None:
    async def look(result: Any) -> Any:
        with anyio.fail_after(5):
            return await read(result)

    late(look)


def test_one_may_read_by_other_means_in_another_task() -> None:
    async def look(result: Any) -> Any:
        return await asyncio.create_task(words(result))

    assert late(look)[0] == ["a b"]


def test_an_error_of_the_node_ends_a_run_that_it_read_by_other_means() -> None:
    class OwnError(Exception):
        pass

    async def look(result: Any) -> Any:
        with anyio.fail_after(5):
            await words(result)
        raise OwnError

    async def ask(server: Upstream) -> Any:
        with pytest.raises(OwnError) as raised:
            await looking(look)(server)
        return type(raised.value.__context__)

    usual, found = both_ways(saying(ANSWER), ask, NODE.warm, times=1)
    assert found == [usual]


def test_what_was_cancelled_stays_cancelled_however_it_is_read_then() -> None:
    async def look(result: Any) -> Any:
        await result.cancel()
        async for _ in result.stream_text(debounce_by=None):
            pass

    cancelled, is_complete, messages, _ = late(look)[1]
    assert (cancelled, is_complete) == (True, True)
    assert messages[-1].state == "interrupted"


def test_a_run_that_was_left_unread_is_not_counted() -> None:
    async def look(result: Any) -> Any:
        return result.is_complete

    assert late(look)[2] == []


def test_several_tasks_may_ask_for_the_output() -> None:
    async def look(result: Any) -> Any:
        await read_live(result)
        return await asyncio.gather(result.get_output(), result.get_output())

    assert late(look)[0] == ["a b", "a b"]


@pytest.mark.parametrize("scope", [asyncio.timeout, anyio.move_on_after])
def test_an_output_may_be_asked_for_again_when_its_time_was_over(scope: Any) -> None:
    async def look(result: Any) -> Any:
        await read_live(result)
        try:
            if scope is asyncio.timeout:
                async with scope(0):
                    await result.get_output()
            else:
                with scope(0):
                    await result.get_output()
        except TimeoutError:
            pass
        return await result.get_output()

    assert late(look)[0] == "a b"


@pytest.mark.parametrize("within", [False, True])
def test_no_turn_of_a_run_that_begins_behind_its_words_or_within_leaves_a_task(
    within: bool,
) -> None:
    async def cancelled_in(server: Upstream, turns: int) -> set[str] | None:
        agent = server.agent(QUICK, **NODE.config)
        agent._questions.are_read_live = True
        agent._questions.settled = SettledRuns()

        async def node() -> None:
            async with agent.run_stream("Hi", message_history=list(HISTORY)) as result:
                if not within:
                    await read_live(result)
                reached.set()
                await (words(result) if within else result.get_output())

        reached = asyncio.Event()
        task = asyncio.create_task(node())
        await reached.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            return None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(50):
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        return {repr(one) for one in others if "upstream" not in repr(one)}

    async def main() -> int:
        async def answer(call: Call) -> None:
            await call.stream(*ANSWER)

        async with upstream(answer) as server:
            for _ in range(3):
                await NODE.ask(server)
            turns = 0
            while (left := await cancelled_in(server, turns)) is not None:
                assert left == set(), f"cancelled in turn {turns}"
                turns += 1
            await aclose_clients()
            return turns

    assert asyncio.run(main()) > 5


def test_messages_that_were_asked_for_early_keep_what_the_node_has_added() -> None:
    async def look(result: Any) -> Any:
        messages = result.all_messages()
        messages.append(ModelRequest(parts=[UserPromptPart("Beside.")]))
        await read_live(result)
        await result.get_output()
        return [plain(one).parts[0].content for one in messages]

    assert late_words(look) == ["Before", "Then.", "Hi", "Beside.", "a b"]


def late_words(look: Look) -> Any:
    """As `late`, of what `look` finds alone."""

    async def ask(server: Upstream) -> Any:
        return (await looking(look)(server))[0]

    usual, found = both_ways(saying(ANSWER), ask, NODE.warm, times=1)
    assert found == [usual]
    return usual
