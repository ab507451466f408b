"""A run's memory goes with the run: nothing of it waits for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from launchpad.core.run import Run
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import EventStream
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Die, ErrorEvent, Garbage, Hang, Repeat, Step
from launchpad.wire.frames import FrameStream

from .flows import FLOWS, seen
from .harness import CHAT, Served, chat, eventually

HEAVY = frozenset({EventStream, FrameStream, Mailbox, Run})


@pytest.fixture(scope="module")
def served(shared_upstream: ScriptedUpstream) -> Iterator[Served]:
    with Served(FLOWS, heartbeat=0.0, send_timeout=0.5, stall_timeout=0.3) as running:
        yield running


def heavy() -> set[int]:
    return {id(one) for one in gc.get_objects() if type(one) in HEAVY}


@pytest.fixture(autouse=True)
def of_others() -> Iterator[set[int]]:
    """What tests before these have left; and the collector is off."""
    gc.collect()
    gc.disable()
    yield heavy()
    gc.enable()


WAYS: dict[str, tuple[Step, ...]] = {
    "completes": (Repeat("t{i} ", 20),),
    "is left": (Repeat("t{i} ", pace=0.01),),
    "is not read": (Repeat("x" * 2000),),
    "is reset": (Repeat("t{i} ", 20), Die()),
    "gets an error": (Repeat("t{i} ", 20), ErrorEvent("no")),
    "gets garbage": (Chunk("one"), Garbage()),
    "stalls": (Chunk("one"), Hang()),
}


@pytest.mark.parametrize("model", ["talk", "direct"])
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that(
    served: Served, upstream: ScriptedUpstream, of_others: set[int], way: str, model: str
) -> None:
    upstream.script_all(*WAYS[way])
    for _ in range(3):
        stuck = way == "is not read"
        client = open_stream(served.url + CHAT, chat(model), receive_buffer=4096 if stuck else None)
        if stuck:
            upstream.requests[-1].wait_disconnected()
        elif way == "is left":
            client.next_event()
        else:
            client.read_all()
        client.close()
    eventually(lambda: served.counts().runs == 0, "the runs' end")
    eventually(lambda: heavy() <= of_others, "their memory's end, without a collection")


def test_its_threads_hold_nothing(served: Served, of_others: set[int]) -> None:
    seen.hold.set()
    with open_stream(served.url + CHAT, chat("threaded"), wait_head=False) as client:
        client.read_head()
        client.read_all()
    eventually(lambda: heavy() <= of_others, "its memory's end")
