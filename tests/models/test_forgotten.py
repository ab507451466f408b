"""An agent's run that is cancelled, in whichever turn of the loop, leaves no task behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from launchpad.models.agents.forgotten import end_forgotten_task
from launchpad.models.agents.node_agent import NodeAgent
from launchpad.models.agents.streaming_model import StreamingModel


async def left_after(turns: int, *, by_node_agent: bool) -> set[str] | None:
    """The tasks that a run leaves which is cancelled in this turn; None where it had ended."""
    kind = NodeAgent if by_node_agent else Agent
    agent: Agent[Any, Any] = kind(StreamingModel(TestModel()), name="Node")

    async def run() -> None:
        try:
            async with agent.run_stream("Hi") as result:
                async for _ in result.stream_text(delta=True, debounce_by=None):
                    await asyncio.sleep(0)
        except BaseException as error:
            if not by_node_agent:
                end_forgotten_task(error)
            raise

    task = asyncio.create_task(run())
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        return None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(50):
        await asyncio.sleep(0)
    return {repr(one) for one in asyncio.all_tasks() - {asyncio.current_task()}}


@pytest.mark.parametrize("by_node_agent", [False, True])
def test_no_turn_leaves_a_task(by_node_agent: bool) -> None:
    """A node's agent sees to it itself: it may run in a task of the node's own."""
    turns = 0
    while (left := asyncio.run(left_after(turns, by_node_agent=by_node_agent))) is not None:
        assert left == set(), f"cancelled in turn {turns}"
        turns += 1
    assert turns > 20
