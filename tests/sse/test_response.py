"""`SSEResponse` over a real socket, on a source that the test feeds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from launchpad.server.protocol import LaunchpadProtocol
from launchpad.sse.refusal import Refusal
from launchpad.sse.response import SSEResponse
from launchpad.testing.server import Server, serve
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


@pytest.mark.parametrize("given", [{"connection": "close"}, {"cache-control": "no-store"}])
def test_a_header_that_is_given_takes_the_place_of_ours(given: dict[str, str]) -> None:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def main() -> None:
        response = SSEResponse(Source([b"data: 1\n\n"]), headers=given)
        await response({"type": "http", "http_version": "1.1"}, asyncio.Event().wait, send)

    asyncio.run(main())
    names = [name.decode() for name, _ in messages[0]["headers"]]
    assert sorted(names) == ["cache-control", "connection", "content-type", "x-accel-buffering"]
    wanted = {"cache-control": "no-cache", **given, "connection": "keep-alive"}
    assert wanted.items() <= {n.decode(): v.decode() for n, v in messages[0]["headers"]}.items()


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


def test_so_is_one_that_does_not_read_the_answer_before(caplog: pytest.LogCaptureFixture) -> None:
    sources = [Source([b"data: " + b"x" * 6_000_000 + b"\n\n"]), Source([b"data: 1\n\n"])]
    waiting = iter(sources)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            source = next(waiting)
            # Its end goes with the last bytes: nothing but the next head has to wait for them.
            source.finished = source is sources[0]
            response = SSEResponse(source, send_timeout=0.3, label=f"run {sources.index(source)}")
            await response(scope, receive, send)

    with (
        Server(app, timeout=20, grace=1, http=LaunchpadProtocol) as server,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        assert sources[1].closed.wait(10)
    assert any(one.getMessage().startswith("run 1 cut off") for one in caplog.records)
