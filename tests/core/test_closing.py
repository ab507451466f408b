"""A generator that is left ends in the task that owns it, and so do those that it reads from."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import pytest

from launchpad.core.closing import close
from launchpad.core.nodes.agent import AgentConfig, ModelProvider
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import RequestError
from launchpad.events import RunEvent, RunFailed, RunFinished, TextDelta
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Chunk, Repeat
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

Ended = list[tuple[str, "asyncio.Task[Any] | None"]]


async def numbers(ended: Ended, name: str) -> AsyncGenerator[int, None]:
    try:
        while True:
            yield 1
    finally:
        # A clean-up that takes a turn of the loop.
        await asyncio.sleep(0)
        ended.append((name, asyncio.current_task()))


async def handed_on(inner: AsyncIterator[int], ended: Ended, name: str) -> AsyncIterator[int]:
    try:
        async for number in inner:
            yield number
    finally:
        ended.append((name, asyncio.current_task()))


def test_the_innermost_ends_first_and_all_in_one_task() -> None:
    async def main() -> None:
        ended: Ended = []
        words = handed_on(handed_on(numbers(ended, "c"), ended, "b"), ended, "a")
        assert await anext(words) == 1
        await close(words)
        assert [name for name, _ in ended] == ["c", "b", "a"]
        assert {task for _, task in ended} == {asyncio.current_task()}

    asyncio.run(main())


def test_a_generator_that_others_hold_too_goes_on() -> None:
    async def main() -> None:
        ended: Ended = []
        shared = numbers(ended, "shared")
        words = handed_on(shared, ended, "reader")
        assert await anext(words) == 1
        await close(words)
        assert [name for name, _ in ended] == ["reader"]
        assert await anext(shared) == 1
        await shared.aclose()

    asyncio.run(main())


def test_what_is_no_generator_is_closed_where_it_can_be() -> None:
    class Words:
        closed = False

        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            return "word"

        async def aclose(self) -> None:
            self.closed = True

    class Bare:
        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            return "word"

    async def main() -> None:
        words = Words()
        await close(words)
        assert words.closed
        await close(Bare())

    asyncio.run(main())


def test_one_that_goes_on_regardless_is_closed_then() -> None:
    async def stubborn() -> AsyncIterator[str]:
        try:
            yield "one"
        except asyncio.CancelledError:
            yield "two"

    async def main() -> None:
        words = stubborn()
        await anext(words)
        await close(words)
        with pytest.raises(StopAsyncIteration):
            await anext(words)

    asyncio.run(main())


@pytest.mark.parametrize("own", [False, True], ids=["super().process", "a generator of its own"])
def test_a_node_that_hands_an_agent_s_words_on_can_be_left(
    own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedUpstream() as upstream:
        upstream.script(Repeat("word {i} "))

        class Agent(AgentStreamingNode):
            def get_agent_config(self) -> AgentConfig:
                return AgentConfig(
                    model_provider=ModelProvider.OPENAI_COMPATIBLE,
                    model_name="any",
                    base_url=upstream.base_url,
                    api_key="key",
                )

            async def ask(self) -> AsyncIterator[Any]:
                async with self.agent.run_stream("Hi") as result:
                    async for chunk in self.stream_text_deltas(result):
                        yield chunk

            async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                async for chunk in self.ask() if own else super().process(task_context):
                    yield chunk

        class Flow(Workflow):
            workflow_schema = WorkflowSchema(
                event_schema=OpenAIChatSchema, start=Agent, nodes=[NodeConfig(node=Agent)]
            )

        async def main() -> None:
            # Told of every generator that is left to the loop.
            left: list[str] = []
            sys.set_asyncgen_hooks(finalizer=lambda words: left.append(words.ag_code.co_filename))
            event = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
            stream = Flow().run_stream_async(event)
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            # The mailbox fills: the node is held up at its `yield`.
            await asyncio.to_thread(upstream.requests[0].wait_blocked)
            await stream.aclose()
            await asyncio.to_thread(upstream.requests[0].wait_disconnected)
            gc.collect()
            # pydantic-ai leaves some below, which hold nothing open.
            assert not [name for name in left if name == __file__ or "/core/" in name]

        asyncio.run(main())
    assert not [one for one in caplog.records if one.levelno > logging.INFO], caplog.text


class Answer(AgentStreamingNode):
    """Streams as document 001 has it, from the upstream of a test."""

    base_url: str
    has_tools = False

    def look_up(self) -> str:
        """A tool of the run's own: its agent is no shared one."""
        return ""

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(
            model_provider=ModelProvider.OPENAI_COMPATIBLE,
            model_name="any",
            base_url=self.base_url,
            api_key="key",
            tools=[self.look_up] if self.has_tools else [],
        )

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        prompt = task_context.event.get_message()
        async with self.agent.run_stream(prompt) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


@pytest.mark.parametrize("then", ["goes on", "asks again", "fails"])
@pytest.mark.parametrize("tools", [False, True], ids=["shared agent", "agent of the run"])
def test_a_node_may_leave_an_agent_s_words(
    tools: bool, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop closes what a `break` leaves, in another task, where pydantic-ai's run breaks."""
    with ScriptedUpstream() as upstream:
        upstream.script(Repeat("word {i} "))

        class Guarded(Answer):
            base_url = upstream.base_url
            has_tools = tools

            async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                async for chunk in super().process(task_context):
                    yield chunk
                    if then == "fails":
                        raise RequestError("No more.")
                    break
                await asyncio.to_thread(upstream.requests[0].wait_disconnected)
                if then == "asks again":
                    async for chunk in super().process(task_context):
                        yield chunk
                yield "!"

        said, last = asyncio.run(_told_by(Guarded))
        upstream.requests[0].wait_disconnected()
    if then == "fails":
        assert said == "word 0 "
        assert isinstance(last, RunFailed)
        assert last.message == "No more."
    else:
        assert said == ("word 0 Hi!" if then == "asks again" else "word 0 !")
        assert isinstance(last, RunFinished)
    # What is left to the loop breaks with an error of asyncio's.
    assert not [one for one in caplog.records if one.levelno > logging.WARNING], caplog.text


def test_words_may_be_left_within_another_run_of_the_node(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedUpstream() as upstream:
        upstream.script(Chunk("one two"))
        upstream.script(Repeat("word {i} "))

        class Comparing(Answer):
            base_url = upstream.base_url

            async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                async with self.agent.run_stream("Hi") as result:
                    async for chunk in super().process(task_context):
                        yield chunk
                        break
                    async for chunk in self.stream_text_deltas(result):
                        yield chunk

        said, last = asyncio.run(_told_by(Comparing))
        upstream.requests[1].wait_disconnected()
    assert said == "word 0 one two"
    assert isinstance(last, RunFinished)
    assert not [one for one in caplog.records if one.levelno > logging.WARNING], caplog.text


def test_a_task_of_a_node_may_leave_words_and_end(caplog: pytest.LogCaptureFixture) -> None:
    """The loop closes them when that task, where alone pydantic-ai's run ends well, is over."""
    with ScriptedUpstream() as upstream:
        upstream.script_all(Repeat("word {i} "))

        class Sampling(Answer):
            base_url = upstream.base_url

            async def first_word(self, task_context: TaskContext) -> str:
                async for chunk in super().process(task_context):
                    return str(cast("Any", chunk).text)
                return ""

            async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                heard = [self.first_word(task_context) for _ in range(2)]
                yield "".join(await asyncio.gather(*heard))
                for request in upstream.requests:
                    await asyncio.to_thread(request.wait_disconnected)

        said, last = asyncio.run(_told_by(Sampling))
    assert said == "word 0 word 0 "
    assert isinstance(last, RunFinished)
    assert not [one for one in caplog.records if one.levelno > logging.WARNING], caplog.text


async def _told_by(node: type[Node]) -> tuple[str, RunEvent | None]:
    """The words of a run of `node` alone, and its last event."""

    class Flow(Workflow):
        workflow_schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=node)

    said, last = "", None
    request = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
    async for last in Flow().run_stream_async(request):
        said += last.text if isinstance(last, TextDelta) else ""
    return said, last
