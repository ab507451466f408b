"""Every node kind in every mode, told by the events and outputs that come out."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.core.flows import Event, Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.errors import DefinitionError, NodeError, RequestError
from launchpad.events import (
    NodeFinished,
    NodeStarted,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
)
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


def test_a_copy_of_the_context_is_as_good() -> None:
    class Copies(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.save_output("kept")
            return copy.copy(task_context)

    assert flow(NodeConfig(node=Copies)).run({}).nodes == {"Copies": "kept"}


def test_an_output_may_be_a_task_for_a_later_node() -> None:
    class Begins(Node):
        async def process(self, task_context: TaskContext) -> Any:
            return asyncio.ensure_future(asyncio.sleep(0, "found"))

    class Awaits(Node):
        async def process(self, task_context: TaskContext) -> Any:
            return await task_context.get_output(Begins)

    nodes = flow(NodeConfig(node=Begins, connections=[Awaits]), NodeConfig(node=Awaits))
    assert nodes.run({}).get_output(Awaits) == "found"


def test_a_node_that_is_processed_by_a_test_is_made_with_its_context() -> None:
    class Greets(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.save_output(f"Hello {self.task_context.event}")

    context = TaskContext(event="Ann")
    with pytest.raises(DefinitionError, match=r"write Greets\(task_context\)"):
        asyncio.run(Greets().process(context))
    asyncio.run(Greets(context).process(context))
    assert context.get_output(Greets) == "Hello Ann"


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
