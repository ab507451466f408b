"""Every node kind in every mode, told by the events and outputs that come out."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.core.flows import Event, Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.router import BaseRouter, RouterNode
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import DefinitionError, NodeError, OutputError, RequestError
from launchpad.events import (
    JsonDelta,
    NodeFinished,
    NodeStarted,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
)
from launchpad.stream.run_stream import EventStream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Quiet(Node):
    async def process(self, task_context: TaskContext) -> Any:
        self.save_output({"seen": task_context.get_output(Words)})
        return task_context


class Blocking(Node):
    def process(self, task_context: TaskContext) -> Any:
        task_context.metadata["thread"] = threading.current_thread()
        return "made in a thread"


def test_a_speaking_node_streams_and_its_output_is_saved_for_the_next() -> None:
    workflow = flow(NodeConfig(node=Words, connections=[Quiet]))
    events = events_of(workflow)
    assert isinstance(events[0], RunStarted)
    assert events[0].request == Event()
    assert events[1:] == [
        NodeStarted("Words"),
        TextDelta("Words", "Hel"),
        TextDelta("Words", "lo"),
        NodeFinished("Words", "stop"),
        NodeStarted("Quiet"),
        NodeFinished("Quiet"),
        RunFinished("stop"),
    ]
    context = workflow.run({})
    assert context.get_output(Words) == "Hello"
    assert context.get_output(Quiet) == {"seen": "Hello"}


def test_run_twice_in_one_process() -> None:
    workflow = flow(NodeConfig(node=Words))
    assert workflow.run({}).get_output(Words) == workflow.run(Event()).get_output(Words)


def test_plain_functions_run_in_a_thread_and_may_return_their_output() -> None:
    context = flow(NodeConfig(node=Blocking)).run({})
    assert context.metadata["thread"] is not threading.main_thread()
    assert context.get_output(Blocking) == "made in a thread"


def test_the_last_output_is_the_answer_where_nobody_spoke() -> None:
    events = events_of(flow(NodeConfig(node=Blocking)))
    assert events[-2:] == [TextDelta("Blocking", "made in a thread"), RunFinished("stop")]


def test_plain_generators_speak_from_a_thread() -> None:
    class Sync(Node):
        def process(self, task_context: TaskContext) -> Iterator[str]:
            assert threading.current_thread() is not threading.main_thread()
            yield "a"
            assert threading.current_thread() is not threading.main_thread()
            yield "b"

    events = events_of(flow(NodeConfig(node=Sync)))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "b"]


def test_a_failure_names_its_node_and_hides_its_cause() -> None:
    class Broken(Words):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield "partly"
            raise ValueError("password is hunter2")

    workflow = flow(NodeConfig(node=Broken, connections=[Quiet]))
    *_, said, failure = events_of(workflow)
    assert said == TextDelta("Broken", "partly")
    assert isinstance(failure, RunFailed)
    assert failure.status == 500
    assert "Broken" in failure.message
    assert "hunter2" not in failure.message
    with pytest.raises(NodeError) as caught:
        workflow.run({})
    assert caught.value.node == "Broken"
    assert isinstance(caught.value.__cause__, ValueError)


def test_cleanup_always_runs() -> None:
    cleaned: list[str] = []

    class Tidy(Words):
        async def cleanup(self) -> None:
            cleaned.append(type(self).__name__)

    class Failing(Tidy):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            raise ValueError("no")
            yield

    class Stuck(Tidy):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield "started"
            await asyncio.Event().wait()

    events_of(flow(NodeConfig(node=Tidy)))
    events_of(flow(NodeConfig(node=Failing)))

    async def leave() -> None:
        stream = flow(NodeConfig(node=Stuck)).run_stream_async({})
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()

    asyncio.run(leave())
    assert cleaned == ["Tidy", "Failing", "Stuck"]


def test_a_cleanup_that_fails_does_not_take_the_result_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Messy(Words):
        async def cleanup(self) -> None:
            raise OSError("disk")

    assert isinstance(events_of(flow(NodeConfig(node=Messy)))[-1], RunFinished)
    assert "cleanup of Messy failed" in caplog.text


def test_stop_workflow_ends_the_run_after_the_present_node() -> None:
    class Stopper(Words):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            task_context.stop_workflow()
            yield "last words"

    events = events_of(flow(NodeConfig(node=Stopper, connections=[Quiet])))
    assert NodeStarted("Quiet") not in events
    assert isinstance(events[-1], RunFinished)


class Left(Words):
    words = ("left",)


class Right(Words):
    words = ("right",)


class Choice(RouterNode):
    async def determine_next_node(self, task_context: TaskContext) -> Any:
        return Left() if task_context.event.text == "left" else None


class Router(BaseRouter):
    def __init__(self) -> None:
        self.routes = [Choice()]
        self.fallback = Right


class After(Words):
    words = (" after",)


ROUTED = (
    NodeConfig(node=Words, connections=[Router]),
    NodeConfig(node=Router, connections=[Left, Right], is_router=True),
    NodeConfig(node=Left, connections=[After]),
    NodeConfig(node=Right, connections=[After]),
)


@pytest.mark.parametrize(("text", "chosen"), [("left", "Left"), ("other", "Right")])
def test_routers_before_and_after_speaking_nodes(text: str, chosen: str) -> None:
    events = events_of(flow(*ROUTED), {"text": text})
    speakers = [event.node for event in events if isinstance(event, TextDelta)]
    assert speakers == ["Words", "Words", chosen, "After"]


def test_a_router_that_names_a_stranger_is_told_so() -> None:
    class Wild(BaseRouter):
        async def route(self, task_context: TaskContext) -> Any:
            return After

    with pytest.raises(NodeError, match="Wild: routed to After"):
        flow(NodeConfig(node=Wild, connections=[Left])).run({})


def test_a_router_that_gives_a_name_is_told_to_give_the_class() -> None:
    class Wild(BaseRouter):
        async def route(self, task_context: TaskContext) -> Any:
            return "After"

    with pytest.raises(NodeError, match="Wild: routed to the str 'After'; return the node's class"):
        flow(NodeConfig(node=Wild, connections=[Left])).run({})


@pytest.mark.parametrize("given", ["Words", Words()])
def test_an_output_is_asked_for_by_its_class(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"write get_output\(Words\), without quotes"):
        TaskContext(event=None).get_output(given)


@pytest.mark.parametrize("given", ["Words", Words()])
def test_an_output_is_saved_by_the_node_s_class(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"write save_output\(Words, …\), without quotes"):
        TaskContext(event=None).save_output(given, 1)


def test_what_is_no_output_is_told_so() -> None:
    async def later() -> str:
        return "late"

    class Forgets(Node):
        async def process(self, task_context: TaskContext) -> Any:
            return later()

    class Loses(Node):
        async def process(self, task_context: TaskContext) -> Any:
            return TaskContext(event=task_context.event, nodes={"Loses": 1})

    for node, words in ((Forgets, "returned a coroutine; write await"), (Loses, "would be lost")):
        with pytest.raises(NodeError, match=f"{node.__name__}: .*{words}"):
            flow(NodeConfig(node=node)).run({})


def test_a_node_that_is_processed_by_a_test_is_made_with_its_context() -> None:
    class Greets(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.save_output(f"Hello {self.task_context.event}")

    context = TaskContext(event="Ann")
    with pytest.raises(DefinitionError, match=r"write Greets\(task_context\)"):
        asyncio.run(Greets().process(context))
    asyncio.run(Greets(context).process(context))
    assert context.get_output(Greets) == "Hello Ann"


def test_nodes_at_the_same_time_interleave_and_each_says_its_name() -> None:
    turn = {"One": "Two", "Two": "One"}

    class Member(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            gates = task_context.metadata
            for number in range(3):
                await gates.setdefault(self.node_name, asyncio.Event()).wait()
                gates[self.node_name].clear()
                yield str(number)
                gates.setdefault(turn[self.node_name], asyncio.Event()).set()

    class One(Member):
        pass

    class Two(Member):
        pass

    class Both(ConcurrentNode):
        async def process(self, task_context: TaskContext) -> Any:
            task_context.metadata["One"] = asyncio.Event()
            task_context.metadata["One"].set()
            await self.execute_nodes_concurrently(task_context)
            self.save_output(task_context.get_output(One) + task_context.get_output(Two))

    workflow = flow(NodeConfig(node=Both, concurrent_nodes=[One, Two], connections=[After]))
    events = events_of(workflow)
    assert [event for event in events if isinstance(event, NodeStarted)][:3] == [
        NodeStarted("Both"),
        NodeStarted("One", "Both"),
        NodeStarted("Two", "Both"),
    ]
    spoken = [(event.node, event.text) for event in events if isinstance(event, TextDelta)]
    assert spoken[:6] == [(n, str(i)) for i in range(3) for n in ("One", "Two")]
    assert workflow.run({}).get_output(Both) == "012012"


def test_the_first_failure_of_concurrent_nodes_ends_the_others() -> None:
    cleaned: list[str] = []

    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            yield "waiting"
            await asyncio.Event().wait()

        async def cleanup(self) -> None:
            cleaned.append("Waiting")

    class Failing(Node):
        async def process(self, task_context: TaskContext) -> Any:
            await asyncio.sleep(0)
            raise ValueError("no")

    class Both(ConcurrentNode):
        pass

    workflow = flow(NodeConfig(node=Both, concurrent_nodes=[Waiting, Failing]))
    with pytest.raises(NodeError) as caught:
        workflow.run({})
    assert caught.value.node == "Failing"
    assert cleaned == ["Waiting"]
    assert isinstance(events_of(workflow)[-1], RunFailed)


def test_an_event_that_does_not_fit_is_refused_at_once() -> None:
    workflow = flow(NodeConfig(node=Words))
    with pytest.raises(RequestError, match="text"):
        workflow.run_stream_async({"text": 1})
    with pytest.raises(RequestError, match="takes Event"):
        workflow.run("hello")


@pytest.mark.parametrize(
    ("message", "words", "param"),
    [
        (
            {"role": "user", "content": 5},
            "Invalid type for 'messages[0].content': expected a string or an array",
            "messages[0].content",
        ),
        (
            {"role": "tool", "tool_call_id": "a", "content": "x"},
            "Invalid 'messages[0].tool_call_id': no earlier assistant message has a tool call",
            "messages[0].tool_call_id",
        ),
    ],
)
def test_an_event_s_problem_is_said_in_words(
    message: dict[str, Any], words: str, param: str
) -> None:
    workflow = flow(NodeConfig(node=Words), event_schema=OpenAIChatSchema)
    with pytest.raises(RequestError) as caught:
        workflow.run({"messages": [message]})
    assert str(caught.value).startswith("The event does not fit OpenAIChatSchema: ")
    assert words in str(caught.value)
    assert caught.value.param == param


def test_a_lost_output_is_a_clear_error_for_who_reads_it() -> None:
    class Loser(Node):
        async def process(self, task_context: TaskContext) -> Any:
            task_context.lose_output(Loser, "its output was cut off.")

    class Reader(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.get_output(Loser)

    with pytest.raises(OutputError, match="Loser: its output was cut off"):
        flow(NodeConfig(node=Loser, connections=[Reader])).run({})


class Silent(Node):
    output: Any = None

    async def process(self, task_context: TaskContext) -> Any:
        self.save_output(self.output)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"a": 1, "b": None, "c": True}, '{"a":1,"b":null,"c":true}'),
        ([Event(text="x")], '[{"text":"x"}]'),
        (Event(text="x"), '{"text":"x"}'),
        (7, "7"),
    ],
)
def test_a_silent_run_s_output_is_told_as_json(output: Any, said: str) -> None:
    node = type("Told", (Silent,), {"output": output})
    assert events_of(flow(NodeConfig(node=node)))[-2] == JsonDelta("Told", said)


def test_an_output_that_cannot_be_told_is_an_error_that_says_so() -> None:
    node = type("Untold", (Silent,), {"output": b"bytes"})
    failure = events_of(flow(NodeConfig(node=node)))[-1]
    assert isinstance(failure, RunFailed)
    with pytest.raises(NodeError, match="Untold: its output, a bytes"):
        flow(NodeConfig(node=node)).run({})


@dataclass
class Held:
    words: str
    _history: str = "SECRET"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Held("x"), '{"words":"x"}'),
        ({"result": Held("x")}, '{"result":{"words":"x"}}'),
        ([(Held("x"), 1)], '[[{"words":"x"},1]]'),
    ],
)
def test_what_an_object_keeps_to_itself_is_not_told(output: Any, said: str) -> None:
    node = type("Held", (Silent,), {"output": output})
    assert events_of(flow(NodeConfig(node=node)))[-2] == JsonDelta("Held", said)


def test_a_task_group_s_one_failure_is_the_node_s() -> None:
    class Grouped(Node):
        async def process(self, task_context: TaskContext) -> Any:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._refuse())

        async def _refuse(self) -> None:
            raise RequestError("Ask for something else.")

    failure = events_of(flow(NodeConfig(node=Grouped)))[-1]
    assert isinstance(failure, RunFailed)
    assert (failure.message, failure.status) == ("Ask for something else.", 400)


class Greets(Node):
    async def process(self, task_context: TaskContext) -> Any:
        return task_context.run_id == self.task_context.run_id and sorted(vars(self))


def _init(*names: str) -> Any:
    return {
        "__init__": {
            "own": lambda self, greeting="hi": setattr(self, "greeting", greeting),
            "own by name": lambda self, *, greeting="hi": setattr(self, "greeting", greeting),
            "context": lambda self, task_context: setattr(self, "got", task_context.run_id),
            "context last": lambda self, greeting="hi", task_context=None: setattr(
                self, "got", task_context.run_id
            ),
            "any name": lambda self, tc: setattr(self, "got", tc.run_id),
            "all": lambda self, *args, **more: setattr(self, "got", args[0].run_id),
        }[names[0]]
    }


@pytest.mark.parametrize(
    ("way", "attribute"),
    [
        ("own", "greeting"),
        ("own by name", "greeting"),
        ("context", "got"),
        ("context last", "got"),
        ("any name", "got"),
        ("all", "got"),
    ],
)
def test_a_node_s_own_init_gets_the_context_where_it_has_a_place_for_it(
    way: str, attribute: str
) -> None:
    node = type("Own", (Greets,), _init(way))
    assert flow(NodeConfig(node=node)).run({}).get_output(node) == ["_task_context", attribute]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
def test_what_a_node_raises_beside_exceptions_ends_its_run_and_nothing_else(
    error: BaseException,
) -> None:
    class Exits(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            raise error

    events = events_of(flow(NodeConfig(node=Exits)))
    assert TextDelta("Exits", "before") in events
    assert isinstance(events[-1], RunFailed)


def test_who_cancels_run_async_sees_it_cancelled() -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> Any:
            await asyncio.Event().wait()

    class Both(ConcurrentNode):
        pass

    async def main(workflow: Workflow) -> None:
        running = asyncio.create_task(workflow.run_async({}))
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()

    asyncio.run(main(flow(NodeConfig(node=Waiting))))
    asyncio.run(main(flow(NodeConfig(node=Both, concurrent_nodes=[Waiting]))))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_timeout_around_concurrent_nodes_is_a_timeout(streamed: bool) -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> Any:
            await asyncio.Event().wait()

    class Within(ConcurrentNode):
        async def process(self, task_context: TaskContext) -> Any:
            try:
                async with asyncio.timeout(0.01):
                    await self.execute_nodes_concurrently(task_context)
            except TimeoutError:
                return "in time"

    workflow = flow(NodeConfig(node=Within, concurrent_nodes=[Waiting, Words]))
    if streamed:
        assert isinstance(events_of(workflow)[-1], RunFinished)
    else:
        assert workflow.run({}).get_output(Within) == "in time"


def test_the_end_of_its_loop_is_no_failure_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "waiting"
            await asyncio.Event().wait()

    class Both(ConcurrentNode):
        pass

    async def main() -> list[EventStream]:
        kept = [
            flow(NodeConfig(node=Waiting)).run_stream_async({}),
            flow(NodeConfig(node=Both, concurrent_nodes=[Waiting])).run_stream_async({}),
        ]
        for stream in kept:
            assert isinstance(await anext(stream), RunStarted)
        return kept

    kept = asyncio.run(main())
    assert caplog.text == ""
    del kept


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself SIGINT")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_within_a_node_interrupts_asyncio_run(times: int) -> None:
    class Interrupted(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)

    # Whoever runs the tests in the background may have them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            events_of(flow(NodeConfig(node=Interrupted)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_loop_s_end_ends_runs_that_nobody_reads_beside_a_clean_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Floods(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            while True:
                yield "more "

    class Cleans(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "first"
            await asyncio.sleep(60)

        async def cleanup(self) -> None:
            await asyncio.sleep(0.01)

    kept: list[EventStream] = []

    async def leave_them() -> None:
        for node in (Floods, Cleans, Floods):
            kept.append(flow(NodeConfig(node=node)).run_stream_async({}))
            await kept[-1].batch()
        await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(leave_them(), 10))
    assert len(kept) == 3
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_keyboard_interrupt_of_a_node_s_own_is_its_failure() -> None:
    class Interrupts(Node):
        async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
            yield "before"
            raise KeyboardInterrupt

    failure = events_of(flow(NodeConfig(node=Interrupts)))[-1]
    assert isinstance(failure, RunFailed)
    assert failure.code == "node_failed"


def test_a_plain_function_that_raises_stop_iteration_fails() -> None:
    class Empty(Node):
        def process(self, task_context: TaskContext) -> Any:
            return next(iter([]))

    with pytest.raises(NodeError, match="StopIteration"):
        flow(NodeConfig(node=Empty)).run({})


def test_run_within_a_loop_says_what_to_call() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="run_async"):
            flow(NodeConfig(node=Words)).run({})

    asyncio.run(main())
