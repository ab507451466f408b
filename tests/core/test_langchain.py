"""Any Runnable as a speaking node: what its items become, who counts, and who closes it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
)
from pydantic import BaseModel
from tests.core.langchain_flows import (
    ASKED,
    USAGE,
    Said,
    call,
    chain_node,
    events_of,
    flow,
    model,
    text,
    words_of,
)

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import NodeError
from launchpad.events import (
    JsonSnapshot,
    NodeFinished,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
    Usage,
)


def test_a_chat_model_gets_the_conversation_and_its_words_usage_and_reason_come_out() -> None:
    said = model("Hel", "lo", usage=USAGE, finish="length")
    *_, finished, ended = events = events_of(lambda: said)
    assert events[2:-2] == text("Hel", "lo")
    assert finished == NodeFinished("Chain", "length", Usage(7, 2))
    assert ended == RunFinished("length", Usage(7, 2))
    assert [(message.type, message.content) for message in said.asked] == [
        ("system", "Be brief."),
        ("human", "Hi"),
    ]


async def model_later() -> Any:
    return model("x")


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda: None, "get_runnable returned None; return a LangChain Runnable"),
        (lambda: text, r"returned the function text; return RunnableLambda\(text\)"),
        (model_later, "get_runnable is async; write a plain def"),
    ],
)
def test_what_does_not_stream_is_refused(give: Any, words: str) -> None:
    with pytest.raises(NodeError, match=f"Chain: .*{words}"):
        flow(chain_node(give)).run(ASKED)


def test_counts_and_reason_come_through_a_parser() -> None:
    prompt = ChatPromptTemplate([("system", "Translate."), ("placeholder", "{messages}")])
    said = model("Bon", "jour", usage=USAGE, finish="length")
    *words, _, ended = events_of(
        lambda: prompt | said | StrOutputParser(),
        get_input=lambda self, context: {"messages": self.conversation(context)},
    )[2:]
    assert [word for word in words if word.text] == text("Bon", "jour")
    assert ended == RunFinished("length", Usage(7, 2))
    assert [message.type for message in said.asked] == ["system", "system", "human"]


def test_several_models_of_one_chain_count_together() -> None:
    first, second = model("a", usage=USAGE), model("b", usage=USAGE)
    chain = first | StrOutputParser() | RunnableLambda(lambda said: f"more on {said}") | second
    assert events_of(lambda: chain)[-1] == RunFinished("stop", Usage(14, 4))
    unknown = first | StrOutputParser() | model("b")
    assert events_of(lambda: unknown)[-1] == RunFinished("stop", None)


def test_a_fallback_counts_and_what_failed_does_not() -> None:
    broken = Said(chunks=[ValueError("down")])
    chain = broken.with_fallbacks([model("well", usage=USAGE)])
    events = events_of(lambda: chain)
    assert events[2:-2] == text("well")
    assert events[-1] == RunFinished("stop", Usage(7, 2))


def test_a_parser_s_words_are_plain_str() -> None:
    chain = ChatPromptTemplate([("user", "{text}")]) | model("one", " two") | StrOutputParser()
    words = words_of(lambda: chain, get_input=lambda *_: {"text": "Count"})
    assert words == text("one", " two")
    assert {type(word.text) for word in words if isinstance(word, TextDelta)} == {str}


async def shout(items: AsyncIterator[Any]) -> AsyncIterator[str]:
    async for _ in items:
        for word in ("HEY", " YOU"):
            yield word


def test_functions_and_generators_speak_and_call_no_model() -> None:
    assert words_of(lambda: RunnableLambda(lambda _: "in one piece")) == text("in one piece")
    events = events_of(lambda: RunnableGenerator(shout))
    assert events[2:-2] == text("HEY", " YOU")

    class Models(LangChainStreamingNode):
        def get_runnable(self) -> Runnable[Any, Any]:
            return model("x", usage=USAGE)

    async def last() -> RunEvent:
        both = flow(chain_node(lambda: RunnableGenerator(shout)), Models)
        return [event async for event in both.run_stream_async(ASKED)][-1]

    # What calls no model leaves the others' counts whole.
    assert asyncio.run(last()) == RunFinished("stop", Usage(7, 2))


def test_reasoning_and_refusals_have_events_of_their_own() -> None:
    said = words_of(
        lambda: model(
            AIMessageChunk("", additional_kwargs={"reasoning_content": "hm"}),
            AIMessageChunk([{"type": "thinking", "thinking": "well", "index": 0}]),
            AIMessageChunk([{"type": "reasoning", "reasoning": "so"}]),
            AIMessageChunk([{"type": "reasoning", "summary": [{"text": "thus"}]}]),
            AIMessageChunk([{"type": "thinking", "signature": "abc", "index": 0}]),
            AIMessageChunk(["a", {"type": "text", "text": "b"}, {"type": "image", "url": "x"}]),
            AIMessageChunk([{"type": "refusal", "refusal": "no"}]),
            AIMessageChunk("", additional_kwargs={"refusal": "never"}),
        )
    )
    thoughts = [ReasoningDelta("Chain", words) for words in ("hm", "well", "so", "thus")]
    refusals = [RefusalDelta("Chain", words) for words in ("no", "never")]
    assert said == [*thoughts, *text("a", "b"), *refusals]


@pytest.mark.parametrize("indices", [(0, 1), (4, 7), (0, 0), (None, None)])
def test_tool_calls_get_stable_indices_whatever_the_provider_s_are(indices: Any) -> None:
    one, two = indices
    events = events_of(
        lambda: model(
            call(one, "", "c1", "weather"),
            call(one, '{"city"'),
            call(one, ': "Rome"}', "c1", None),
            call(two, "{}", "c2", "time"),
            finish="tool_calls",
        )
    )
    assert events[2:-2] == [
        ToolCallDelta("Chain", 0, "", "c1", "weather"),
        ToolCallDelta("Chain", 0, '{"city"'),
        ToolCallDelta("Chain", 0, ': "Rome"}'),
        ToolCallDelta("Chain", 1, "{}", "c2", "time"),
    ]
    assert events[-1] == RunFinished("tool_calls", None)


def test_whole_messages_say_what_chunks_do() -> None:
    message = AIMessage(
        "Look.",
        tool_calls=[ToolCall(name="time", args={"zone": "CET"}, id="c1")],
        response_metadata={"stop_reason": "tool_use"},
        usage_metadata=USAGE,  # type: ignore[arg-type]
    )
    events = events_of(lambda: RunnableLambda(lambda _: message))
    assert events[2:-2] == [
        *text("Look."),
        ToolCallDelta("Chain", 0, '{"zone":"CET"}', "c1", "time"),
    ]
    assert events[-1] == RunFinished("tool_calls", Usage(7, 2))
    assert words_of(lambda: RunnableLambda(lambda _: HumanMessage("hi"))) == text("hi")


def test_tools_that_the_server_runs_stay_hidden() -> None:
    async def graph(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for _ in items:
            yield call(0, "{}", "c1", "time"), {"langgraph_node": "agent"}
            yield ToolMessage("12:00", tool_call_id="c1"), {"langgraph_node": "tools"}
            yield AIMessageChunk("Noon."), {"langgraph_node": "agent"}

    assert words_of(lambda: RunnableGenerator(graph)) == text("Noon.")


class Person(BaseModel):
    name: str


def test_the_end_is_no_tool_call_where_none_was_shown() -> None:
    # As `with_structured_output(…, method="function_calling")` has it.
    parsed = events_of(lambda: model("{}", finish="tool_calls") | JsonOutputParser())
    assert parsed[-1] == RunFinished("stop")
    shown = events_of(lambda: model(call(0, "{}", "c", "f"), finish="tool_calls"))
    assert shown[-1] == RunFinished("tool_calls")


def snapshots(make: Callable[[], Any]) -> list[str]:
    said = words_of(make)
    assert all(isinstance(event, JsonSnapshot) for event in said)
    return [event.text for event in said if isinstance(event, JsonSnapshot)]


def test_a_json_parser_s_objects_replace_each_other() -> None:
    said = snapshots(lambda: model('{"name"', ': "A', 'da"}') | JsonOutputParser())
    assert said[-1] == '{"name":"Ada"}'
    assert '{"name":"A"}' in said


def test_a_parallel_s_pieces_add_up() -> None:
    both = RunnableParallel(
        a=model("x", "y") | StrOutputParser(), b=RunnableLambda(lambda _: Person(name="Ada"))
    )
    assert json.loads(snapshots(lambda: both)[-1]) == {"a": "xy", "b": {"name": "Ada"}}


def test_any_other_object_is_a_document_and_the_output() -> None:
    assert snapshots(lambda: RunnableLambda(lambda _: Person(name="Ada"))) == ['{"name":"Ada"}']
    assert snapshots(lambda: RunnableLambda(lambda _: [1, 2])) == ["[1,2]"]
    assert words_of(lambda: RunnableLambda(lambda _: None)) == []
    node = chain_node(lambda: RunnableLambda(lambda _: {"n": 1}))
    assert flow(node).run(ASKED).get_output(node) == {"n": 1}
    node = chain_node(lambda: model("Hel", "lo"))
    assert flow(node).run(ASKED).get_output(node) == "Hello"


def test_what_is_not_json_is_an_error_that_names_node_and_type() -> None:
    with pytest.raises(NodeError, match="Chain: the chain yielded Lock"):
        flow(chain_node(lambda: RunnableLambda(lambda _: Lock()))).run(ASKED)


class Lock:
    """No JSON."""


def test_a_chain_that_fails_names_its_node() -> None:
    def fail(_: Any) -> str:
        raise ValueError("secret")

    last = events_of(lambda: RunnableLambda(fail))[-1]
    assert isinstance(last, RunFailed)
    assert last.message == "The node Chain failed."


def test_an_event_without_messages_wants_a_get_input() -> None:
    class Plain(BaseModel):
        words: str = "hi"

    def of(node: type[Node]) -> Workflow:
        schema = WorkflowSchema(event_schema=Plain, start=node, nodes=[NodeConfig(node=node)])
        made: type[Workflow] = type("Flow", (Workflow,), {"workflow_schema": schema})
        return made()

    upper = RunnableLambda(str.upper)
    with pytest.raises(NodeError, match="override get_input"):
        of(chain_node(lambda: upper)).run({})
    node = chain_node(lambda: upper, get_input=lambda self, context: context.event.words)
    assert of(node).run({}).get_output(node) == "HI"


def test_the_input_may_be_waited_for() -> None:
    async def look_up(_: Any, context: TaskContext) -> str:
        await asyncio.sleep(0)
        return str(context.event.get_message())

    node = chain_node(lambda: RunnableLambda(str.upper), get_input=look_up)
    assert flow(node).run(ASKED).get_output(node) == "HI"


def test_the_chain_is_built_once_for_a_loop_in_a_thread_and_anew_for_the_next() -> None:
    threads: list[str] = []

    def build() -> Runnable[Any, Any]:
        threads.append(threading.current_thread().name)
        return RunnableLambda(lambda _: "x")

    node = chain_node(build)

    async def four() -> list[TaskContext]:
        at_once = await asyncio.gather(*[flow(node).run_async(ASKED) for _ in range(3)])
        return [*at_once, await flow(node).run_async(ASKED)]

    contexts = asyncio.run(four())
    assert [context.get_output(node) for context in contexts] == ["x"] * 4
    assert len(threads) == 1
    assert threads[0] != threading.current_thread().name
    flow(node).run(ASKED)
    assert len(threads) == 2


def test_a_build_that_failed_is_tried_again() -> None:
    tried: list[int] = []

    def build() -> Runnable[Any, Any]:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError("not yet")
        return RunnableLambda(lambda _: "x")

    node = chain_node(build)

    async def twice() -> Any:
        with pytest.raises(NodeError, match="not yet"):
            await flow(node).run_async(ASKED)
        return (await flow(node).run_async(ASKED)).get_output(node)

    assert asyncio.run(twice()) == "x"


def test_a_run_that_leaves_while_the_chain_is_built_does_not_take_it_from_others() -> None:
    started, go = threading.Event(), threading.Event()

    def build() -> Runnable[Any, Any]:
        started.set()
        assert go.wait(10)
        return RunnableLambda(lambda _: "x")

    node = chain_node(build)

    async def both() -> Any:
        leaves = asyncio.create_task(flow(node).run_async(ASKED))
        stays = asyncio.create_task(flow(node).run_async(ASKED))
        await asyncio.to_thread(started.wait, 10)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert leaves.cancelled()
        go.set()
        return (await stays).get_output(node)

    assert asyncio.run(both()) == "x"


@pytest.mark.parametrize("wrap", [False, True], ids=["alone", "within a chain"])
@pytest.mark.parametrize("reads", [0, 1, 300], ids=["silent", "one word", "many words"])
def test_a_stream_that_is_left_closes_the_chain_s_generator(reads: int, wrap: bool) -> None:
    closed: list[str] = []
    begun = asyncio.Event()

    async def endless(items: AsyncIterator[Any]) -> AsyncIterator[str]:
        try:
            async for _ in items:
                begun.set()
                for number in range(sys.maxsize):
                    if not reads:
                        await asyncio.Event().wait()
                    yield f"{number} "
        finally:
            closed.append("closed")

    chain: Any = RunnableGenerator(endless)
    if wrap:
        chain = RunnableLambda(lambda given: given) | chain | StrOutputParser()

    async def leave() -> list[str]:
        stream = flow(chain_node(lambda: chain)).run_stream_async(ASKED)
        said = 0
        async for event in stream:
            said += isinstance(event, TextDelta)
            if said >= reads:
                break
        await begun.wait()
        await stream.aclose()
        # LangChain leaves a chain's inner generators to the collector, which closes them soon.
        async with asyncio.timeout(10):
            while not closed:  # noqa: ASYNC110 - the collector sets no event
                await asyncio.sleep(0.01)
        return list(closed)

    assert asyncio.run(leave()) == ["closed"]


def test_without_langchain_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    last = events_of(lambda: None)[-1]
    assert isinstance(last, RunFailed)
    assert last.message == (
        'Chain: Chain needs LangChain: pip install "langchain-core>=1.7" "langchain-openai>=1.7".'
    )
    assert (last.status, last.code) == (503, "not_configured")
