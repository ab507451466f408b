"""An upstream that says why its answer ended, and then neither goes on nor closes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai.messages import ModelRequest
from tests.models.faults import run
from tests.models.upstream import DONE, STOP, Call, Script, Upstream, text, upstream, usage

from launchpad.events import TextDelta
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.direct import OpenAnswer

QUICK = 1.0
"""A stall timeout below the grace: the grace is as long then."""

Heard = tuple[str, str | None, int]
"""Text, finish reason, output tokens (0: nobody counted)."""


async def by_the_agents_live_stream(server: Upstream, **more: Any) -> Heard:
    async with server.agent(**more).run_stream("Hello") as result:
        live = live_stream(result.run_id)
        assert live is not None
        words = [
            one.text
            async for one in live.events("Node", structured=False)
            if isinstance(one, TextDelta)
        ]
        assert await result.get_output() == "".join(words)
        counted = live.usage.output_tokens if live.usage is not None else 0
        return "".join(words), live.finish_reason, counted


async def by_the_agent_alone(server: Upstream, **more: Any) -> Heard:
    async with server.agent(**more).run_stream("Hello") as result:
        output = await result.get_output()
    return output, result.response.finish_reason, result.usage.output_tokens


async def whole(server: Upstream, **more: Any) -> Heard:
    result = await server.agent(**more).run("Hello")
    return result.output, result.response.finish_reason, result.usage.output_tokens


async def without_an_agent(server: Upstream, **more: Any) -> Heard:
    messages = [ModelRequest.user_text_prompt("Hello")]
    async with OpenAnswer(server.config(**more), messages) as live:
        words = [
            one.text
            async for one in live.events("Node", structured=False)
            if isinstance(one, TextDelta)
        ]
    counted = live.usage.output_tokens if live.usage is not None else 0
    return "".join(words), live.finish_reason, counted


READERS: list[Callable[..., Awaitable[Heard]]] = [
    by_the_agents_live_stream,
    by_the_agent_alone,
    whole,
    without_an_agent,
]


async def says(call: Call, *more: bytes) -> None:
    """An answer, and nothing that ends its body."""
    await call.start()
    await call.send(b"".join([*text("a", "b"), *more]))


async def hangs(call: Call) -> None:
    await says(call, STOP)
    await call.wait_closed()


async def counts_and_hangs(call: Call) -> None:
    await says(call, STOP, usage(3, 9))
    await call.wait_closed()


async def comments_for_ever(call: Call) -> None:
    await says(call, STOP)
    closing = asyncio.create_task(call.wait_closed())
    while not closing.done():
        await call.send(b": ping\n\n")
        await asyncio.wait([closing], timeout=0.05)


async def resets(call: Call) -> None:
    await says(call, STOP)
    sock = call.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    call.writer.transport.abort()
    call.closed.set()


async def hear_twice(
    script: Script, read: Callable[..., Awaitable[Heard]], **more: Any
) -> tuple[list[Heard], Upstream]:
    """The second request is sent, and its answer read, as learnt from the first."""
    async with upstream(script) as server:
        heard = [await read(server, **more), await read(server, **more)]
        for call in server.calls:
            await call.closed.wait()
        return heard, server


def test_the_answer_is_complete() -> None:
    counted = {hangs: 0, counts_and_hangs: 9, comments_for_ever: 0, resets: 0}
    asked = [(script, read) for script in counted for read in READERS]

    async def main() -> None:
        try:
            more = {"model_settings": {"timeout": QUICK}}
            every = await asyncio.gather(*(hear_twice(*one, **more) for one in asked))
        finally:
            await aclose_clients()
        for (script, read), (heard, server) in zip(asked, every, strict=True):
            case = f"{script.__name__}, {read.__name__}"
            assert heard == [("ab", "stop", counted[script])] * 2, case
            assert server.connections == 2, f"{case}: what is not over is not used again"

    asyncio.run(main())


def test_the_stall_timeout_is_not_waited_for() -> None:
    async def body(server: Upstream) -> Heard:
        async with asyncio.timeout(60):
            return await without_an_agent(server, model_settings={"timeout": 600})

    assert run(hangs, body) == ("ab", "stop", 0)


def test_what_comes_in_time_is_read_and_the_connection_kept() -> None:
    async def script(call: Call) -> None:
        await says(call, STOP)
        await asyncio.sleep(0.2)
        await call.send(usage(3, 9))
        await asyncio.sleep(0.2)
        await call.send(DONE)
        await call.end()

    async def body(server: Upstream) -> None:
        for read in READERS:
            assert await read(server) == ("ab", "stop", 9), read.__name__
        assert server.connections == 1

    run(script, body)


def test_a_slow_readers_time_does_not_count() -> None:
    read_on, sent = asyncio.Event(), asyncio.Event()

    async def script(call: Call) -> None:
        await says(call, STOP)
        await read_on.wait()
        await call.send(usage(3, 9))
        await call.send(DONE)
        await call.end()
        sent.set()

    async def body(server: Upstream) -> None:
        config = server.config(model_settings={"timeout": QUICK})
        async with OpenAnswer(config, [ModelRequest.user_text_prompt("Hello")]) as live:
            async for _ in live.batches("Node", structured=False):
                if not sent.is_set():
                    await asyncio.sleep(2 * QUICK)
                    read_on.set()
                    await sent.wait()
        assert live.usage is not None
        assert live.usage.output_tokens == 9

    run(script, body)
