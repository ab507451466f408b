"""`SSEResponse` over a real socket, on a source that the test feeds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from launchpad.sse.refusal import Refusal
from launchpad.sse.response import SSEResponse
from launchpad.testing.server import serve
from launchpad.testing.sse import open_stream


class Source:
    """Gives `pieces`, waits for `more` before each but the first, and says how it was ended."""

    def __init__(self, pieces: Iterable[bytes | Exception], *, hangs: bool = False) -> None:
        self._pieces = list(pieces)
        self._hangs = hangs
        self._cancelled = asyncio.Event()
        self.asked = threading.Event()
        self.cancelled = threading.Event()
        self.closed = threading.Event()

    finished = False

    async def __anext__(self) -> bytes:
        self.asked.set()
        if not self._pieces:
            if self._hangs:
                await self._cancelled.wait()
            raise StopAsyncIteration
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def forward(self, write: Callable[[bytes], bool]) -> None:
        raise AssertionError("only our own server's connections can be written past `send`")

    def cancel(self) -> None:
        self._cancelled.set()
        self.cancelled.set()

    async def aclose(self) -> None:
        self.cancel()
        self.closed.set()


def answering(source: Source, **options: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await SSEResponse(source, **options)(scope, receive, send)

    return app


def test_what_the_source_gives_and_the_head() -> None:
    source = Source([b"data: 1\n\n", b"data: 2\n\n"])
    with serve(answering(source, headers={"x-more": "yes"})) as server:
        with open_stream(server.url) as client:
            assert [event.data for event in client.read_all()] == ["1", "2"]
            assert client.ended == "complete"
        assert client.status == 200
        assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert client.headers["cache-control"] == "no-cache"
        assert client.headers["x-accel-buffering"] == "no"
        assert client.headers["connection"] == "keep-alive"
        assert client.headers["x-more"] == "yes"
        assert source.closed.wait(10)


def test_an_empty_source_is_an_empty_stream() -> None:
    with serve(answering(Source([]))) as server, open_stream(server.url) as client:
        assert client.read_body() == b""
        assert (client.status, client.ended) == (200, "complete")


def test_a_refusal_has_its_own_status() -> None:
    source = Source([Refusal(429, {"retry-after": "3"}, b'{"error": {}}')])
    with serve(answering(source)) as server, open_stream(server.url) as client:
        assert client.read_body() == b'{"error": {}}'
        assert (client.status, client.headers["retry-after"]) == (429, "3")
        assert client.headers["content-type"] == "application/json"
    assert source.closed.wait(10)


def test_the_head_is_held_until_the_first_bytes() -> None:
    source = Source([], hangs=True)
    with serve(answering(source)) as server:
        client = open_stream(server.url, wait_head=False)
        assert source.asked.wait(10)
        assert not client.has_bytes()
        client.close()
        assert source.closed.wait(10)


@pytest.mark.parametrize("pieces", [[], [b"data: 1\n\n"]])
def test_a_client_that_leaves_cancels_the_source(pieces: list[bytes]) -> None:
    source = Source(pieces, hangs=True)
    with serve(answering(source)) as server:
        client = open_stream(server.url, wait_head=bool(pieces))
        assert source.asked.wait(10)
        client.abort()
        assert source.cancelled.wait(10)
        assert source.closed.wait(10)


def test_a_client_that_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    source = Source([b"data: " + b"x" * 100_000 + b"\n\n"] * 1000)
    with serve(answering(source, send_timeout=0.3, label="the run")) as server:
        client = open_stream(server.url, receive_buffer=4096)
        assert source.closed.wait(10)
        client.abort()
    (line,) = [one.getMessage() for one in caplog.records if one.name == "launchpad.sse"]
    assert line.startswith("the run cut off: the client took no bytes for 0.")
