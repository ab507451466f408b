"""Routers, and nodes beside each other, told by the events that come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.flows import Words, events_of, flow

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.router import BaseRouter, RouterNode
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError
from launchpad.events import (
    NodeStarted,
    RunFailed,
    TextDelta,
)


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
