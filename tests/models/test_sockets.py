"""The upstream's socket: closed when nobody reads any more, kept where it can be used again."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from pydantic_ai.models import ModelRequestParameters
from tests.models.faults import QUICK, fail, run, silent, silent_after_head, stalls
from tests.models.upstream import (
    DONE,
    HEAD,
    STOP,
    Call,
    Script,
    Upstream,
    chunk,
    event,
    text,
)

from launchpad.errors import UpstreamTimeoutError
from launchpad.events import TextDelta
from launchpad.models import build_model
from launchpad.models.agents.streaming_model import live_stream
from launchpad.settings import Settings


async def _endless(call: Call) -> None:
    await call.start()
    await call.send(b"".join(text("a")))
    closing = asyncio.create_task(call.wait_closed())
    while not closing.done():
        call.writer.write(b"%x\r\n%s\r\n" % (len(text("b")[1]), text("b")[1]))
        await asyncio.wait([closing], timeout=0.02)


@pytest.mark.parametrize("script", [silent, silent_after_head, stalls, _endless])
def test_cancelling_closes_the_upstreams_socket(script: Script) -> None:
    async def body(server: Upstream) -> None:
        reading = asyncio.Event()

        async def read() -> None:
            async with server.agent().run_stream("Hello") as result:
                live = live_stream(result.run_id)
                assert live is not None
                async for _ in live.events("Node", structured=False):
                    reading.set()

        task = asyncio.create_task(read())
        await server.connected.wait()
        if script in {stalls, _endless}:
            await reading.wait()
        await asyncio.sleep(0.05)
        gc.disable()
        try:
            task.cancel()
            await asyncio.wait_for(server.calls[0].closed.wait(), 5)
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()
        finally:
            gc.enable()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [one for one in left if "upstream" not in repr(one.get_coro())]

    run(script, body)


@pytest.mark.parametrize("how", ["close", "throw"])
def test_a_node_that_is_closed_at_its_yield_closes_the_socket(how: str) -> None:
    async def body(server: Upstream) -> None:
        async def node() -> Any:
            async with server.agent().run_stream("Hello") as result:
                live = live_stream(result.run_id)
                assert live is not None
                async for one in live.events("Node", structured=False):
                    yield one

        words = node()
        await anext(words)
        if how == "close":
            await words.aclose()
        else:
            with pytest.raises(asyncio.CancelledError):
                await words.athrow(asyncio.CancelledError())
        await asyncio.wait_for(server.calls[0].closed.wait(), 5)

    run(_endless, body)


def test_a_request_that_is_not_streamed_closes_its_socket_too() -> None:
    async def body(server: Upstream) -> None:
        model = build_model(server.config(), Settings())
        task = asyncio.create_task(model.request([], None, ModelRequestParameters()))
        await server.connected.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait_for(server.calls[0].closed.wait(), 5)
        await asyncio.wait([task])

    run(_endless, body)


# Connections


def test_a_connection_is_used_again() -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"), STOP, DONE)

    async def body(server: Upstream) -> int:
        for _ in range(5):
            async with server.agent().run_stream("Hello") as result:
                await result.get_output()
            await asyncio.sleep(0.01)
        return server.connections

    assert run(script, body) == 1


def test_a_kept_connection_that_the_upstream_has_closed_is_replaced() -> None:
    async def script(call: Call) -> None:
        if len(server_calls(call)) == 2:
            call.writer.close()
            return
        await call.stream(*text("a"), STOP, DONE)

    seen: list[Call] = []

    def server_calls(call: Call) -> list[Call]:
        seen.append(call)
        return seen

    async def body(server: Upstream) -> tuple[str, int]:
        for _ in range(2):
            async with server.agent().run_stream("Hello") as result:
                output = await result.get_output()
            await asyncio.sleep(0.01)
        return str(output), len(server.calls)

    assert run(script, body) == ("a", 3)


def test_the_end_of_a_body_that_never_comes_delays_nothing() -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(b"".join([*text("a"), STOP, DONE]))
        await call.wait_closed()

    async def body(server: Upstream) -> str:
        async with server.agent().run_stream("Hello") as result:
            return str(await asyncio.wait_for(result.get_output(), 1))

    assert run(script, body) == "a"


def test_headers_and_key() -> None:
    async def script(call: Call) -> None:
        await call.stream(*text("a"), STOP, DONE)

    async def body(server: Upstream) -> Call:
        agent = server.agent(model_settings={"extra_headers": {"X-Mine": "1"}})
        async with agent.run_stream("Hello") as result:
            await result.get_output()
        return server.calls[0]

    call = run(script, body)
    assert call.head.startswith("POST /v1/chat/completions ")
    assert call.header("authorization") == "Bearer secret"
    assert call.header("x-mine") == "1"
    assert call.header("accept-encoding") == "identity"
    assert "stainless" not in call.head.lower()


def test_a_chunk_without_text_is_no_first_token() -> None:
    async def script(call: Call) -> None:
        await call.start()
        await call.send(event(chunk({"role": "assistant", "content": ""})))
        await call.wait_closed()

    assert "no token within" in str(fail(script, QUICK)[0])


def test_a_whole_answer_that_stalls() -> None:
    async def script(call: Call) -> None:
        call.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        await call.wait_closed()

    found, _ = fail(script, QUICK)
    assert isinstance(found, UpstreamTimeoutError)


@pytest.mark.parametrize("before", [b"", b"\n", b": hello\n\n"])
def test_a_stream_that_is_called_json_is_read_as_it_comes(before: bytes) -> None:
    read = asyncio.Event()

    async def script(call: Call) -> None:
        call.writer.write(HEAD.replace(b"text/event-stream", b"application/json"))
        for piece in (before[:1], before[1:] + b"da", b"".join(text("one "))[2:]):
            if piece:
                await call.send(piece)
                await asyncio.sleep(0.05)
        await read.wait()
        await call.send(b"".join([*text("two")[1:], STOP, DONE]))
        await call.end()

    async def body(server: Upstream) -> list[str]:
        said: list[str] = []
        async with server.agent().run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for event_ in live.events("Node", structured=False):
                assert isinstance(event_, TextDelta)
                said.append(event_.text)
                read.set()
            assert await result.get_output() == "one two"
        return said

    assert run(script, body) == ["one ", "two"]


def test_a_redirect_is_not_followed() -> None:
    async def script(call: Call) -> None:
        await call.refuse(307, {}, "Location: /elsewhere")

    found, _ = fail(script)
    assert (found.status, found.code) == (502, "upstream_error")
