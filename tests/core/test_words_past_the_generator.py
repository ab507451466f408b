"""Words of a chat node that pass its generator by are what the generator would have said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.flows import asked, chat_flow
from tests.models.upstream import DONE, STOP, Call, chunk, event, text, tool_call, upstream, usage

from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.task import TaskContext
from launchpad.stream.run_stream import EventStream
from launchpad.wire.frames import FrameStream
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder

PAUSE = 0.004
"""Seconds after which a token comes alone."""

Piece = tuple[bytes, float]


class Chat(ModelStreamingNode):
    """Its words pass its generator by."""

    config: ClassVar[AgentConfig]

    def get_agent_config(self) -> AgentConfig:
        return self.config


class Told(Chat):
    """Each of its words is yielded."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async for said in super().process(task_context):
            yield said


async def writes(node: type[Chat], rooms: Sequence[bool] = ()) -> tuple[list[bytes], list[Any]]:
    """What a response under our server writes, and what a later node reads of it.

    `rooms`: after which writes the client would take more.
    """
    kept: list[Any] = []

    class After(Node):
        async def process(self, task_context: TaskContext) -> None:
            kept.append(self.get_output(node))

    run = chat_flow(node, After).producer(asked(stream=True), run_id="r")
    frames = FrameStream(
        EventStream(run), OpenAIChatEncoder(run_id="r", created=0), debounce=0, heartbeat=0
    )
    room, written = iter(rooms), list[bytes]()

    def write(data: bytes) -> bool:
        written.append(data)
        return next(room, True)

    async with asyncio.timeout(20):
        async for data in frames:
            written.append(data)
            if not frames.finished:
                await frames.forward(write)
        await frames.aclose()
    return written, kept


async def answer(node: type[Chat], rooms: Sequence[bool] = ()) -> tuple[list[Any], list[Any]]:
    """The chunks of what is written, with one name for all nodes, and what a later node reads."""
    written, kept = await writes(node, rooms)
    whole = b"".join(written).replace(node.__name__.encode(), b"Chat")
    said = [part.removeprefix(b"data: ") for part in whole.split(b"\n\n")]
    return [json.loads(one) if one != b"[DONE]" else "[DONE]" for one in said if one], kept


BODIES = st.sampled_from(["chunks", "close", "broken"])
"""How the answer ends: with its last chunk, with the connection, or within a chunked body."""

EVENTS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).map(
        lambda word: event(chunk({"content": word}))
    ),
    st.sampled_from(
        [
            *text("one ", "two ", "three")[1:],
            event(chunk({"content": ""})),
            event(chunk({"content": "😀"})),
            event(chunk({"reasoning_content": "hm"})),
            event(chunk({"refusal": "no"})),
            event(chunk(tool_call(0, id="c", name="f", arguments="{"))),
            event(chunk(tool_call(0, arguments="}"))),
            event(chunk({"content": "last"}, "length")),
            event({"error": {"message": "broken", "type": "server_error"}}),
            b": ping\n\n",
            b"data: {\n\n",
            b'data: {"x":\r\n',
            usage(3, 4),
            STOP,
            DONE,
        ]
    ),
)
"""What an upstream may say, words above all."""


WORDS = [(one, PAUSE) for one in [*text(*"abcdefg"), STOP, DONE]]


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """An answer's bytes in pieces: mostly one event each, and a pause behind it."""
    words = [*text("a", "b", "c"), *draw(st.lists(EVENTS, max_size=8)), STOP, DONE]
    found: list[Piece] = []
    held = b""
    for one in words:
        data, held = held + one, b""
        kind = draw(st.sampled_from(["alone", "alone", "alone", "cut", "with the next"]))
        if kind == "cut":
            at = draw(st.integers(0, len(data)))
            data, held = data[:at], data[at:]
        elif kind == "with the next":
            data, held = b"", data
        if data:
            found.append((data, PAUSE))
    return [*found, (held, 0.0)] if held else found


@settings(max_examples=30, deadline=None)
@given(pieces(), BODIES, st.lists(st.booleans(), max_size=9))
def test_any_answer_is_the_same_by_both_ways(
    answered: list[Piece], body: str, rooms: list[bool]
) -> None:
    async def script(call: Call) -> None:
        if body == "close":
            call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        else:
            await call.start()
        for data, pause in answered:
            if body == "close":
                call.writer.write(data)
            else:
                await call.send(data)
            await asyncio.sleep(pause)
        if body == "chunks":
            await call.end()
        else:
            call.writer.close()

    async def main() -> None:
        async with upstream(script) as server:
            Chat.config = Told.config = server.config()
            ours, usual = await asyncio.gather(answer(Chat, rooms), answer(Told, rooms))
        assert ours == usual

    asyncio.run(main())


class Named(Chat):
    """Its name in events is the engine's to mend."""

    @property
    def node_name(self) -> str:
        return "Another"


class Louder(Chat):
    """Its `process` is put into the one node."""

    def __init__(self, task_context: TaskContext) -> None:
        super().__init__(task_context)
        said = self.process

        async def process(task_context: TaskContext) -> AsyncIterator[Any]:
            async for one in said(task_context):
                yield one.text.upper()

        self.process = process  # type: ignore[method-assign]


class Shared(Chat):
    """One node for all runs."""

    @classmethod
    def instance(cls, task_context: TaskContext | None = None) -> Self:
        node = vars(cls).get("one") or super().instance(task_context)
        cls.one = node
        return node


async def paced(call: Call) -> None:
    await call.start()
    for data, pause in WORDS:
        await call.send(data)
        await asyncio.sleep(pause)
    await call.end()


def said_by(*nodes: type[Chat]) -> list[Any]:
    """Each one's chunks and output, of runs at once."""

    async def main() -> list[Any]:
        async with upstream(paced) as server:
            for node in nodes:
                node.config = server.config()
            return await asyncio.gather(*(answer(node) for node in nodes))

    return asyncio.run(main())


def test_a_node_with_another_name_speaks_as_one() -> None:
    named, usual = said_by(Named, Told)
    assert named == usual


def test_a_process_of_one_node_says_every_word() -> None:
    [(_, kept)] = said_by(Louder)
    assert kept == ["ABCDEFG"]


def test_runs_that_share_a_node_hear_their_own_words() -> None:
    first, second, usual = said_by(Shared, Shared, Told)
    assert first == second == usual


@pytest.mark.parametrize("node", [Chat, Told])
def test_words_of_one_read_leave_in_one_write(node: type[Chat]) -> None:
    async def script(call: Call) -> None:
        await call.start()
        *alone, c, d, e = text(*"abcde")
        for data in (*alone, c + d + e, STOP + DONE):
            await call.send(data)
            await asyncio.sleep(0.02)
        await call.end()

    async def main() -> list[bytes]:
        async with upstream(script) as server:
            node.config = server.config()
            return (await writes(node))[0]

    written = [json.dumps(letter).encode() for letter in "cde"]
    counts = [sum(letter in one for letter in written) for one in asyncio.run(main())]
    assert [count for count in counts if count] == [3]
