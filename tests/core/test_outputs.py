"""What nodes leave: outputs that are kept, lost, asked for and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.core.flows import Event, Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.errors import DefinitionError, NodeError, OutputError
from launchpad.events import (
    JsonDelta,
    RunFailed,
    RunFinished,
    TextDelta,
)


class Silent(Node):
    output: Any = None

    async def process(self, task_context: TaskContext) -> Any:
        self.save_output(self.output)


def test_the_last_output_is_the_answer_where_nobody_spoke() -> None:
    node = type("Told", (Silent,), {"output": "all of it"})
    events = events_of(flow(NodeConfig(node=node)))
    assert events[-2:] == [TextDelta("Told", "all of it"), RunFinished("stop")]


@pytest.mark.parametrize("given", ["Words", Words()])
def test_an_output_is_asked_for_by_its_class(given: Any) -> None:
    with pytest.raises(DefinitionError, match=r"write get_output\(Words\), without quotes"):
        TaskContext(event=None).get_output(given)


def test_who_says_nothing_has_no_output() -> None:
    quiet = type("Quiet", (Words,), {"words": ()})
    context = flow(NodeConfig(node=quiet)).run({})
    assert context.get_output(quiet, "none") == "none"
    assert context.nodes == {}


def test_a_lost_output_is_a_clear_error_for_who_reads_it() -> None:
    class Loser(Node):
        async def process(self, task_context: TaskContext) -> Any:
            task_context.lose_output(Loser, "its output was cut off.")

    class Reader(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.get_output(Loser)

    with pytest.raises(OutputError, match="Loser: its output was cut off"):
        flow(NodeConfig(node=Loser, connections=[Reader])).run({})


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
