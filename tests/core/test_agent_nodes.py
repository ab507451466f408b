"""Nodes with models, over a real scripted upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import DeferredToolRequests, RunContext, Tool
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent
from tests.core.conftest import config, upstream_now
from tests.core.flows import asked, chat_events_of, chat_flow

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError, OutputError, UpstreamError
from launchpad.events import (
    JsonDelta,
    NodeFinished,
    ReasoningDelta,
    RefusalDelta,
    RunFailed,
    RunFinished,
    TextDelta,
    Usage,
)
from launchpad.testing.steps import (
    Chunk,
    Finish,
    Hang,
    Reasoning,
    Refusal,
    Status,
    ToolDelta,
    UsageStep,
)

pytestmark = pytest.mark.usefixtures("upstream")


class Text(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions="Be brief.")


class Person(BaseModel):
    name: str
    age: int


class Structured(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(output_type=Person)


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions="Be brief.")


class Quiet(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


async def late() -> AgentConfig:
    return AgentConfig()


@pytest.mark.parametrize("kind", [AgentStreamingNode, AgentNode, ModelStreamingNode])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: None, "returned None; return AgentConfig"),
        (lambda: {"model_name": "x"}, "returned a value of type dict; return AgentConfig"),
        (late, "get_agent_config is async; write a plain def"),
        (lambda: AgentConfig(retry=3), "retry=RetryPolicy"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_config_is_said_in_the_node_s_name(
    kind: type[Node], given: Any, words: str
) -> None:
    node = type("Odd", (kind,), {"get_agent_config": lambda _: given()})
    with pytest.raises(NodeError, match=f"Odd: .*{words}"):
        chat_flow(node).run(asked())


@pytest.mark.parametrize("kind", [AgentStreamingNode, AgentNode, ModelStreamingNode])
def test_instructions_may_be_several(kind: type[Node]) -> None:
    given = {"get_agent_config": lambda _: config(instructions=["Be brief.", "Be kind."])}
    chat_flow(type("Two", (kind,), given)).run(asked())
    (request,) = upstream_now().requests
    said = json.dumps(request.body["messages"])
    assert said.index("Be brief.") < said.index("Be kind.")


class OfTheRun(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions=self.who)

    def who(self) -> str:
        return f"You speak with {self.task_context.event.user}."


class NamesTheModel(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions=[model_s_name])


def model_s_name(context: RunContext[Any]) -> str:
    return f"You are {context.model.model_name}."


def test_an_agent_s_instructions_may_be_functions_of_the_run() -> None:
    async def runs() -> None:
        for user in ("Ann", "Bob"):
            await chat_flow(OfTheRun).run_async(asked(user=user))
            await chat_flow(NamesTheModel).run_async(asked(user=user))

    asyncio.run(runs())
    told = [json.dumps(request.body["messages"]) for request in upstream_now().requests]
    assert ["Ann" in told[0], "Bob" in told[2], "Ann" in told[2]] == [True, True, False]
    assert all("You are scripted." in one for one in told[1::2])


def test_a_function_for_instructions_needs_an_agent() -> None:
    node = type(
        "Plain",
        (ModelStreamingNode,),
        {"get_agent_config": lambda _: config(instructions=model_s_name)},
    )
    with pytest.raises(NodeError, match="instructions has a function, which only an agent"):
        chat_flow(node).run(asked())


async def messages_later() -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: [{"role": "user", "content": "Hi"}], "gave a value of type dict"),
        (lambda: "Hi", "gave the str 'Hi'; return a list of pydantic-ai's messages"),
        (messages_later, "get_messages is async"),
    ],
)
def test_messages_that_are_none(given: Any, words: str) -> None:
    node = type("Odd", (Direct,), {"get_messages": lambda _, task_context: given()})
    with pytest.raises(NodeError, match=f"Odd: .*{words}"):
        chat_flow(node).run(asked())


def test_a_stream_of_an_agent_is_entered_with_async_with() -> None:
    class Sync(Text):
        async def process(self, task_context: TaskContext) -> Any:
            stream: Any = self.agent.run_stream("Hi")
            with stream as result:
                return result

    with pytest.raises(NodeError, match="Write async with agent"):
        chat_flow(Sync).run(asked())


async def read_unopened(node: AgentStreamingNode, stream: Any) -> str:
    return "".join([event.text async for event in node.stream_text_deltas(stream)])


async def read_itself(_: AgentStreamingNode, stream: Any) -> list[Any]:
    return [event async for event in stream]


async def await_it(_: AgentStreamingNode, stream: Any) -> Any:
    return await stream


@pytest.mark.parametrize("misuse", [read_unopened, read_itself, await_it])
def test_a_stream_that_was_not_entered_says_so(misuse: Any) -> None:
    class Odd(Text):
        async def process(self, task_context: TaskContext) -> Any:
            return await misuse(self, self.agent.run_stream("Hi"))

    with pytest.raises(NodeError, match="Odd: Write async with agent"):
        chat_flow(Odd).run(asked())


def test_run_sync_is_for_plain_functions() -> None:
    class Blocks(Quiet):
        async def process(self, task_context: TaskContext) -> Any:
            return self.agent.run_sync("Hi").output

    class Plain(Quiet):
        def process(self, task_context: TaskContext) -> Any:
            return self.agent.run_sync("Hi").output

    with pytest.raises(NodeError, match=r"Blocks: .* write await agent"):
        chat_flow(Blocks).run(asked())
    assert chat_flow(Plain).run(asked()).get_output(Plain) == "Hi"


@pytest.mark.parametrize("node", [Text, Direct])
def test_text_as_it_is_made_with_finish_and_usage(node: type[Node]) -> None:
    workflow = chat_flow(NodeConfig(node=node))
    events = chat_events_of(workflow)
    name = node.__name__
    words = [event for event in events if isinstance(event, TextDelta)]
    assert words == [TextDelta(name, "one"), TextDelta(name, " two"), TextDelta(name, " three")]
    assert events[-1] == RunFinished("stop", Usage(6, 3))
    (request,) = upstream_now().requests
    assert "Be brief." in str(request.body["messages"])
    assert workflow.run(asked()).get_output(node) == "one two three"


def test_a_structured_node_speaks_from_its_first_token_and_saves_its_object() -> None:
    said = '{"name": "John Doe", "age": 30}'
    upstream_now().script_all(*[Chunk(said[i : i + 3]) for i in range(0, len(said), 3)])
    workflow = chat_flow(NodeConfig(node=Structured))
    fragments = [event.text for event in chat_events_of(workflow) if isinstance(event, JsonDelta)]
    assert fragments[0] == '{"n'
    assert "".join(fragments) == said
    assert workflow.run(asked()).get_output(Structured) == Person(name="John Doe", age=30)


def test_an_output_that_does_not_fit_is_an_error_after_what_was_said() -> None:
    upstream_now().script(Chunk('{"name": "John", '), Chunk('"age": "old"}'))
    *_, failure = chat_events_of(chat_flow(NodeConfig(node=Structured)))
    assert isinstance(failure, RunFailed)
    assert failure.code == "invalid_output"
    assert len(upstream_now().requests) == 1, "no retry once a fragment is out"


class Reader(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield str(self.get_output(Structured))


class Indifferent(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "anyway"


def test_a_structured_node_cut_by_length_finishes_and_only_its_reader_fails() -> None:
    cut = (Chunk('{"name": "Jo'), Finish("length"))
    upstream_now().script_all(*cut)
    alone = chat_events_of(chat_flow(NodeConfig(node=Structured)))
    assert alone[-1] == RunFinished("length", alone[-1].usage)  # type: ignore[attr-defined]
    workflow = chat_flow(NodeConfig(node=Structured, connections=[Reader]))
    with pytest.raises(OutputError, match="Structured: its output was cut off"):
        workflow.run(asked())
    workflow = chat_flow(NodeConfig(node=Structured, connections=[Indifferent]))
    assert workflow.run(asked()).get_output(Indifferent) == "anyway"


def test_reasoning_and_refusals_are_told_apart_from_text() -> None:
    upstream_now().script(Reasoning("hm"), Chunk("yes"))
    upstream_now().script(Refusal("no, "), Refusal("sorry"))
    events = chat_events_of(chat_flow(NodeConfig(node=Text)))
    assert [event for event in events if isinstance(event, ReasoningDelta | TextDelta)] == [
        ReasoningDelta("Text", "hm"),
        TextDelta("Text", "yes"),
    ]
    events = chat_events_of(chat_flow(NodeConfig(node=Structured)))
    refused = "".join(event.text for event in events if isinstance(event, RefusalDelta))
    assert refused == "no, sorry"
    assert isinstance(events[-1], RunFinished)


def test_tools_that_the_server_runs_stay_hidden_and_their_result_is_fed_back() -> None:
    called: list[str] = []

    def weather(city: str) -> str:
        called.append(city)
        return f"sunny in {city}"

    class WithTools(AgentStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            return config(tools=[weather])

    events = chat_events_of(
        chat_flow(NodeConfig(node=WithTools)), asked('!call weather {"city": "Rome"}')
    )
    assert called == ["Rome"]
    words = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert "sunny in Rome" in words
    assert "call" not in str([event for event in events if "Tool" in type(event).__name__])
    assert isinstance(events[-1], RunFinished)


@pytest.mark.parametrize("called_before", [False, True])
def test_a_model_with_server_tools_may_refuse(called_before: bool) -> None:
    def weather(city: str) -> str:
        return f"sunny in {city}"

    class WithTools(AgentStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            return config(tools=[weather])

    if called_before:
        call = ToolDelta(0, '{"city": "Rome"}', id="call_1", name="weather")
        upstream_now().script(call, UsageStep(10, 5))
    upstream_now().script(Refusal("not "), Refusal("that"), UsageStep(3, 2))
    events = chat_events_of(chat_flow(NodeConfig(node=WithTools)))
    assert [event for event in events if isinstance(event, RefusalDelta | TextDelta)] == [
        RefusalDelta("WithTools", "not that")
    ]
    spent = Usage(13, 7) if called_before else Usage(3, 2)
    assert events[-1] == RunFinished("stop", spent)


def test_a_refusal_where_a_node_needs_the_answer_is_a_clear_error() -> None:
    upstream_now().script(Refusal("no"))
    *_, failure = chat_events_of(chat_flow(NodeConfig(node=Quiet)))
    assert isinstance(failure, RunFailed)
    assert (failure.status, failure.code) == (400, "content_filter")
    assert failure.message == "Quiet: The model refused to answer."


def test_the_request_s_sampling_parameters_reach_streaming_nodes_only() -> None:
    given = asked(temperature=0.5, stop=["x"], seed=7, max_tokens=9)
    chat_flow(NodeConfig(node=Text, connections=[Quiet])).run(given)
    streamed, quiet = [request.body for request in upstream_now().requests]
    assert streamed["temperature"] == 0.5
    assert streamed["stop"] == ["x"]
    assert streamed["seed"] == 7
    assert 9 in (streamed.get("max_tokens"), streamed.get("max_completion_tokens"))
    assert "temperature" not in quiet


def test_a_node_without_an_agent_refuses_what_needs_one() -> None:
    class Wrong(ModelStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            return config(output_type=Person)

    with pytest.raises(NodeError, match="AgentStreamingNode"):
        chat_flow(NodeConfig(node=Wrong)).run(asked())


def test_an_upstream_s_failure_keeps_its_status_and_names_the_node() -> None:
    upstream_now().script_all(Status(429, {"retry-after": "9"}))
    for node in (Text, Direct, Quiet):
        failure = chat_events_of(chat_flow(NodeConfig(node=node)))[-1]
        assert isinstance(failure, RunFailed)
        assert failure.status == 429
        assert failure.retry_after == 9
        assert failure.message.startswith(f"{node.__name__}: ")
        with pytest.raises(NodeError) as caught:
            chat_flow(NodeConfig(node=node)).run(asked())
        assert isinstance(caught.value.__cause__, UpstreamError)


@pytest.mark.parametrize("node", [Text, Structured, Direct])
def test_letting_go_closes_the_upstream(node: type[Node]) -> None:
    async def main() -> None:
        upstream_now().script(Chunk('{"name": "'), Hang())
        stream = chat_flow(NodeConfig(node=node)).run_stream_async(asked())
        async for event in stream:
            if isinstance(event, TextDelta | JsonDelta):
                break
        await stream.aclose()
        await asyncio.to_thread(upstream_now().requests[0].wait_disconnected, 10)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_agents_at_the_same_time() -> None:
    class Both(ConcurrentNode):
        pass

    workflow = chat_flow(NodeConfig(node=Both, concurrent_nodes=[Text, Direct]))
    events = chat_events_of(workflow)
    assert {event.node for event in events if isinstance(event, TextDelta)} == {"Text", "Direct"}
    finished = [event for event in events if isinstance(event, NodeFinished)]
    assert {event.node for event in finished} == {"Text", "Direct", "Both"}
    assert events[-1] == RunFinished("stop", Usage(12, 6))


def test_agents_are_built_once() -> None:
    async def main() -> None:
        seen: list[object] = []

        class Watched(Text):
            async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
                seen.append(self.agent)
                async for chunk in super().process(task_context):
                    yield chunk

        for _ in range(2):
            await chat_flow(NodeConfig(node=Watched)).run_async(asked())
        assert seen[0] is seen[1]

    asyncio.run(main())


def test_usage_is_the_sum_of_every_request_that_the_nodes_made() -> None:
    class Twice(Text):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            for prompt in ("one two", "three"):
                async with self.agent.run_stream(prompt) as result:
                    async for chunk in self.stream_text_deltas(result):
                        yield chunk
            await self.agent.run("four")

    workflow = chat_flow(
        NodeConfig(node=Quiet, connections=[Twice]), NodeConfig(node=Twice, connections=[Direct])
    )
    finished = chat_events_of(workflow)[-1]
    assert isinstance(finished, RunFinished)
    asked_for = [3, 5, 4, 4, 6]  # "Be brief." counts where the node says it
    assert finished.usage == Usage(sum(asked_for), 3 + 2 + 1 + 1 + 3)


async def by_stream_text(node: AgentStreamingNode) -> AsyncIterator[Any]:
    async with node.agent.run_stream("one two") as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            yield text


async def by_events(node: AgentStreamingNode) -> AsyncIterator[Any]:
    async with node.agent.run_stream_events("one two") as events:
        async for event in events:
            if isinstance(event, PartStartEvent | PartDeltaEvent):
                yield str(getattr(event, "part", None) or event.delta)  # type: ignore[union-attr]


async def by_run(node: AgentStreamingNode) -> AsyncIterator[Any]:
    yield (await node.agent.run("one two")).output


async def by_ours(node: AgentStreamingNode) -> AsyncIterator[Any]:
    async with node.agent.run_stream("one two") as result:
        async for event in node.stream_text_deltas(result):
            yield event


@pytest.mark.parametrize("read", [by_ours, by_stream_text, by_events, by_run])
def test_counts_and_reason_come_however_a_node_reads_its_agent(read: Any) -> None:
    class Reads(Text):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            async for one in read(self):
                yield one

    upstream_now().script(Chunk("one"), Finish("length"), UsageStep(7, 1))
    finished = chat_events_of(chat_flow(NodeConfig(node=Reads)))[-1]
    assert finished == RunFinished("length", Usage(7, 1))


def test_a_silent_node_s_answer_that_was_cut_ends_with_length() -> None:
    upstream_now().script(Chunk("one"), Finish("length"), UsageStep(7, 1))
    *_, said, finished = chat_events_of(chat_flow(NodeConfig(node=Quiet)))
    assert said == TextDelta("Quiet", "one")
    assert finished == RunFinished("length", Usage(7, 1))


@pytest.mark.parametrize("streamed", [True, False])
def test_the_tokens_of_a_workflow_within_a_node_are_the_node_s(streamed: bool) -> None:
    class Outer(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            inner = chat_flow(NodeConfig(node=Direct))
            if streamed:
                async for event in inner.run_stream_async(asked("one two")):
                    yield event
            else:
                context = await inner.run_async(asked("one two"))
                yield context.get_output(Direct)

    events = chat_events_of(chat_flow(NodeConfig(node=Outer)))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "one two"
    assert events[-1] == RunFinished("stop", Usage(5, 2))


def test_a_stream_that_is_handed_on_unread_is_an_error_that_says_what_to_do() -> None:
    class Hasty(Text):
        async def process(self, task_context: TaskContext) -> Any:
            async with self.agent.run_stream("one two") as result:
                return self.stream_text_deltas(result)

    workflow = chat_flow(NodeConfig(node=Hasty))
    for _ in range(3):  # the second is asked as the first was learnt
        assert isinstance(chat_events_of(workflow)[-1], RunFailed)
        with pytest.raises(NodeError, match="closed before it was read to its end; read it inside"):
            workflow.run(asked())


def test_a_tool_that_the_agent_does_not_have_is_no_empty_answer() -> None:
    workflow = chat_flow(NodeConfig(node=Text))
    for _ in range(3):
        upstream_now().script(ToolDelta(0, "{}", "c1", "look_up"), Finish("tool_calls"))
        failure = chat_events_of(workflow)[-1]
        assert isinstance(failure, RunFailed)
        assert failure.code == "invalid_output"
        assert "a tool that the node's agent does not have" in failure.message


def test_a_call_that_waits_for_an_approval_is_an_output() -> None:
    def look_up(word: str) -> str:
        return word

    class Asks(AgentStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            tool = Tool(look_up, requires_approval=True)
            return config(tools=[tool], output_type=[str, DeferredToolRequests])

        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            async with self.agent.run_stream("Look it up.") as result:
                async for chunk in self.stream_text_deltas(result):
                    yield chunk

    upstream_now().script(ToolDelta(0, '{"word": "a"}', "c1", "look_up"), Finish("tool_calls"))
    output = chat_flow(NodeConfig(node=Asks)).run(asked()).get_output(Asks)
    assert isinstance(output, DeferredToolRequests)
    assert [call.tool_name for call in output.approvals] == ["look_up"]
