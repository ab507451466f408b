"""Heartbeats before the first token and in the gaps, and the clients that must not mind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from openai import AsyncOpenAI, OpenAI
from tests.clients.javascript import run

from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.testing.server import serve as serve_app
from launchpad.testing.steps import Chunk, Delay, Hang, WaitFor

from .flows import FLOWS
from .harness import Served, chat

Message = MutableMapping[str, Any]
SLOWLY = (Delay(0.12), Chunk("one "), Delay(0.12), Chunk("two "), Delay(0.12), Chunk("three"))
SAID = "one two three"
HI: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def served(upstream: ScriptedUpstream) -> Iterator[Served]:
    upstream.script_all(*SLOWLY)
    with Served(FLOWS, heartbeat=0.03) as running:
        yield running


class WithIds:
    """The app with an `id:` in every frame, as a server that can resume will send them."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(
        self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        async def numbered(message: Message) -> None:
            if message.get("body"):
                message = {**message, "body": message["body"].replace(b"data: ", b"id: 7\ndata: ")}
            await send(message)

        await self._app(scope, receive, numbered if scope["type"] == "http" else send)


@pytest.fixture
def numbered(served: Served) -> Iterator[Server]:
    with serve_app(WithIds(served.app)) as running:
        yield running


def test_on_the_wire(served: Served) -> None:
    with httpx.stream("POST", served.url + "/v1/chat/completions", json=chat("talk")) as answer:
        pieces = list(answer.iter_raw())
    pings = [piece for piece in pieces if b"ping" in piece]
    # One newline: a blank line after it would be the end of an empty event.
    assert set(pings) == {b": ping\n"}
    assert pieces.index(b": ping\n") < next(i for i, one in enumerate(pieces) if b"one" in one)
    assert pieces[-1].endswith(b"data: [DONE]\n\n")
    frames = b"".join(piece for piece in pieces if piece != b": ping\n")
    assert b"\n\n\n" not in frames
    assert all(frame.startswith(b"data: ") for frame in frames.split(b"\n\n") if frame)


def test_it_commits_the_head_and_an_error_comes_as_an_event(upstream: ScriptedUpstream) -> None:
    upstream.script(Hang())
    with Served(FLOWS, heartbeat=0.03, first_token_timeout=0.2) as served:
        with served.post(chat("talk")) as client:
            assert client.status == 200
            events = client.read_all()
        assert "upstream_timeout" in events[0].data
        assert client.comments


def test_zero_turns_it_off(upstream: ScriptedUpstream) -> None:
    upstream.script(*SLOWLY)
    with Served(FLOWS, heartbeat=0.0) as served, served.post(chat("talk")) as client:
        client.read_all()
    assert not client.comments


def test_a_stream_that_flows_has_none(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    gate.open()
    upstream.script(*[Chunk("t"), WaitFor(gate)] * 50)
    with Served(FLOWS, heartbeat=5.0) as served, served.post(chat("talk")) as client:
        client.read_all()
    assert not client.comments


@pytest.mark.parametrize("ids", [False, True])
def test_openai_python(served: Served, numbered: Server, ids: bool) -> None:
    base_url = numbered.base_url if ids else f"{served.url}/v1"
    with OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        chunks = list(client.chat.completions.create(model="talk", messages=HI, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID


def test_openai_python_async(served: Served, numbered: Server) -> None:
    import asyncio

    async def read(base_url: str) -> str:
        words = ""
        async with AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(model="talk", messages=HI, stream=True)
            async for chunk in stream:
                words += chunk.choices[0].delta.content or ""
        return words

    async def main() -> None:
        both = await asyncio.gather(read(numbered.base_url), read(f"{served.url}/v1"))
        assert both == [SAID, SAID]

    asyncio.run(main())


def test_openai_node(served: Served, numbered: Server) -> None:
    told = run("heartbeats.mjs", plainURL=f"{served.url}/v1", idsURL=numbered.base_url)
    assert told["withoutIds"] == SAID
    assert told["withIds"] == SAID


def test_httpx_sse(served: Served) -> None:
    """`GET /chat/stream` sends ids by itself."""
    with httpx.Client() as client:
        query = {"message": "Hi", "model": "talk"}
        url = f"{served.url}/chat/stream"
        with connect_sse(client, "GET", url, params=query) as source:
            got = list(source.iter_sse())
        assert all(event.id for event in got)
        with connect_sse(client, "POST", url, json=query) as source:
            plain = list(source.iter_sse())
    for events in (got, plain):
        assert "".join(event.json()["token"] for event in events) == SAID
        assert events[-1].json()["done"] is True
        assert not any(event.data == "" for event in events), "no heartbeat becomes an event"
