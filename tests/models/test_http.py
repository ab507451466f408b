"""The HTTP client over real sockets: how answers end, break, wait and are kept apart."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from launchpad.models import aclose_clients
from launchpad.models.http.connection import HIGH_WATER, BrokenConnectionError
from launchpad.models.http.dial import ProxyRefusedError
from launchpad.models.http.pool import ConnectTimeoutError, Response, pool

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def runner(request: pytest.FixtureRequest) -> Any:
    return asyncio.run if request.param == "asyncio" else uvloop.run


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line]
    length = next(int(value) for name, value in lines if name.lower() == b"content-length")
    return head, await reader.readexactly(length)


@asynccontextmanager
async def serving(talk: Talk, host: str = "127.0.0.1") -> AsyncGenerator[tuple[str, list[int]]]:
    """A server that calls `talk` for each connection; its address and the connections so far."""
    connections: list[int] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(accept, host, 0)
    name = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{name}:{server.sockets[0].getsockname()[1]}/v1", connections
    finally:
        await aclose_clients()
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks), timeout=5)


def answering(*pieces: bytes, close: bool = True, moment: float = 0.01) -> Talk:
    """Each request gets these bytes, a moment between them."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(moment)
            if close:
                return

    return talk


async def post(url: str, body: bytes = b"{}", head: bytes = b"", connect: float = 5) -> Response:
    return await pool().post(url, head, body, connect_timeout=connect, watch=lambda close: None)


async def whole(response: Response) -> bytes:
    found = b""
    while data := await response.read():
        found += data
    response.finish()
    return found


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 5\r\n\r\nhello",),
        (HEAD + b"Content-Length: 5\r\n\r\nhe", b"llo"),
        (HEAD + b"\r\nhe", b"llo"),
        (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",),
        (b"HTTP/1.0 200 OK\r\n\r\nhello",),
        (CHUNKED + b"2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"),
        (CHUNKED + b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",),
        (CHUNKED[:9], CHUNKED[9:40], CHUNKED[40:] + b"5\r", b"\nhello\r\n0\r\n\r", b"\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            HEAD + b"Content-Length: 5\r\n\r\nhello",
        ),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello"),),
    ],
)
def test_how_a_body_ends(runner: Any, pieces: tuple[bytes, ...]) -> None:
    async def main() -> None:
        async with serving(answering(*pieces)) as (url, _):
            response = await post(url)
            assert response.status == 200
            assert "link" not in response.headers
            assert await whole(response) == b"hello"

    runner(main())


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 9\r\n\r\nhello",),
        (CHUNKED + b"5\r\nhello\r\n",),
        (CHUNKED + b"5\r\nhello\r\nnonsense\r\n",),
    ],
)
def test_what_came_before_a_fault_is_read_before_it(runner: Any, pieces: tuple[bytes, ...]) -> None:
    async def main() -> None:
        async with serving(answering(*pieces)) as (url, _):
            response = await post(url)
            assert await response.read() == b"hello"
            with pytest.raises(BrokenConnectionError):
                await response.read()

    runner(main())


def test_what_is_cut_on_this_side_is_not_whole(runner: Any) -> None:
    """Also where the body's end would be the connection's."""

    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(HEAD + b"\r\nhe")
            await reader.read()

        async with serving(talk) as (url, _):
            response = await post(url)
            assert await response.read() == b"he"
            asyncio.get_running_loop().call_soon(response.close)
            for _ in range(2):
                with pytest.raises(BrokenConnectionError):
                    await response.read()
                await asyncio.sleep(0.02)

    runner(main())


def test_a_reset_right_behind_data(runner: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(0.02)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.write(b"1\r\n!\r\n")
        writer.transport.abort()

    async def main() -> None:
        async with serving(talk) as (url, _):
            response = await post(url)
            await asyncio.sleep(0.1)
            assert await response.read() == b"hello!"
            with pytest.raises(BrokenConnectionError):
                await response.read()

    runner(main())


@pytest.mark.parametrize("said", [b"", b"220 smtp ready\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_no_answer_of_http(runner: Any, said: bytes) -> None:
    async def main() -> None:
        async with serving(answering(said)) as (url, _):
            with pytest.raises(BrokenConnectionError):
                await post(url)

    runner(main())


def test_a_connection_is_kept_for_the_next_request(runner: Any) -> None:
    talk = answering(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", close=False)

    async def main() -> None:
        async with serving(talk) as (url, connections):
            for _ in range(3):
                assert await whole(await post(url)) == b"hello"
            assert len(connections) == 1
            first, second = await asyncio.gather(post(url), post(url))
            assert await whole(first) == await whole(second) == b"hello"
            assert len(connections) == 2

    runner(main())


def test_a_connection_is_kept_when_the_end_comes_late(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchpad.models.http.pool.LINGER", 0.3)
    talk = answering(CHUNKED + b"5\r\nhello\r\n", b"0\r\n\r\n", close=False)

    async def main() -> None:
        async with serving(talk) as (url, connections):
            response = await post(url)
            assert await response.read() == b"hello"
            response.finish()
            # Longer than it would have been waited for the end.
            await asyncio.sleep(0.5)
            assert await whole(await post(url)) == b"hello"
            assert len(connections) == 1

    runner(main())


def test_connections_that_nobody_uses_are_closed_one_by_one(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchpad.models.http.pool.KEEP_ALIVE", 0.2)

    async def main() -> None:
        closed: list[asyncio.Event] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = asyncio.Event()
            closed.append(own)
            await request_of(reader)
            writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")
            with suppress(ConnectionError):
                assert await reader.read() == b""
            own.set()

        async with serving(talk) as (url, _):
            first, second = await post(url), await post(url)
            await whole(first)
            # So that the first look finds one of them too young.
            await asyncio.sleep(0.1)
            await whole(second)
            async with asyncio.timeout(20):
                await asyncio.gather(*(one.wait() for one in closed))
            assert len(closed) == 2

    runner(main())


def test_with_the_loop_s_clients_every_connection_closes(runner: Any) -> None:
    async def main() -> None:
        closed: list[asyncio.Event] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            closed.append(asyncio.Event())
            own = closed[-1]
            writer.write(CHUNKED + b"5\r\nhello\r\n" + b"0\r\n\r\n" * (len(closed) == 1))
            await writer.drain()
            with suppress(ConnectionError):
                assert await reader.read() == b""
            own.set()

        async with serving(talk) as (url, _):
            kept, used = await post(url), await post(url)
            assert await whole(kept) == b"hello"
            assert await used.read() == b"hello"
            assert not any(one.is_set() for one in closed)
            await aclose_clients()
            with pytest.raises(BrokenConnectionError):
                await used.read()
            async with asyncio.timeout(20):
                await asyncio.gather(*(one.wait() for one in closed))

    runner(main())


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\n\r\nhello and more",
    ],
)
def test_a_connection_that_is_not_kept(runner: Any, answer: bytes) -> None:
    async def main() -> None:
        async with serving(answering(answer, close=False)) as (url, connections):
            for _ in range(2):
                assert await whole(await post(url)) == b"hello"
            assert len(connections) == 2

    runner(main())


def test_words_that_come_unasked_end_the_connection(runner: Any) -> None:
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    talk = answering(HEAD + b"Content-Length: 5\r\n\r\nhello", late, close=False)

    async def main() -> None:
        async with serving(talk) as (url, connections):
            for _ in range(2):
                response = await post(url)
                assert await whole(response) == b"hello"
                await asyncio.sleep(0.05)
            assert len(connections) == 2

    runner(main())


def test_a_request_that_was_answered_in_part_is_not_sent_again(runner: Any) -> None:
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")
        await request_of(reader)
        asked.append(1)
        writer.write(HEAD[:5])
        await writer.drain()

    async def main() -> None:
        async with serving(talk) as (url, _):
            await whole(await post(url))
            with pytest.raises(BrokenConnectionError):
                await post(url)
            assert len(asked) == 1

    runner(main())


def test_a_reader_that_is_behind_stops_the_socket(runner: Any) -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(CHUNKED)
        piece = b"x" * 65536
        for _ in range(1000):
            writer.write(b"10000\r\n" + piece + b"\r\n")
            await writer.drain()
            sent += len(piece)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def main() -> None:
        async with serving(talk) as (url, _):
            response = await post(url)
            got = 0
            for _ in range(2):
                before = -1
                while sent != before:
                    before = sent
                    await asyncio.sleep(0.2)
                assert sent < 1000 * 65536
                piece = await response.read()
                assert len(piece) < 4 * HIGH_WATER
                got += len(piece)
            while piece := await response.read():
                got += len(piece)
            assert got == 1000 * 65536

    runner(main())


@pytest.mark.parametrize("when", ["head", "body"])
def test_cancelling_closes_the_socket(runner: Any, when: str) -> None:
    async def main() -> None:
        closed = asyncio.Event()
        asked = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            if when == "body":
                writer.write(CHUNKED)
            asked.set()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            closed.set()

        async def ask() -> None:
            response = await post(url)
            try:
                await response.read()
            finally:
                response.close()

        async with serving(talk) as (url, _):
            task = asyncio.create_task(ask())
            await asked.wait()
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait_for(closed.wait(), 5)
            assert (await asyncio.gather(task, return_exceptions=True))[0] is not None

    runner(main())


def test_names_and_both_families(runner: Any) -> None:
    async def main() -> None:
        talk = answering(HEAD + b"Content-Length: 5\r\n\r\nhello")
        async with serving(talk) as (url, _):
            # Where localhost is ::1 first, nobody listens there: the next address is tried.
            name = url.replace("127.0.0.1", "localhost")
            assert await whole(await post(name)) == b"hello"
            with pytest.raises(OSError, match=r".+"):
                await post("http://no.such.host.invalid/v1")
        if socket.has_ipv6:
            async with serving(talk, "::1") as (url, _):
                assert await whole(await post(url)) == b"hello"

    runner(main())


def test_nobody_listens(runner: Any) -> None:
    async def main() -> None:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ConnectionRefusedError):
                await post(f"http://{host}:1/v1")
        await aclose_clients()

    runner(main())


def test_a_request_through_a_plain_proxy(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await request_of(reader))[0])
        writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")

    async def main() -> None:
        async with serving(talk) as (url, _):
            proxy = url.removesuffix("/v1").replace("http://", "http://me:a%20b@")
            monkeypatch.setenv("http_proxy", proxy)
            assert await whole(await post("http://far.test:81/v1?x=1")) == b"hello"

    runner(main())
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"POST http://far.test:81/v1?x=1 HTTP/1.1"
    assert b"Host: far.test:81" in lines
    assert b"Proxy-Authorization: Basic bWU6YSBi" in lines


def test_a_proxy_that_refuses_or_is_silent(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        await writer.drain()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main(talk: Talk, error: type[Exception]) -> None:
        async with serving(talk) as (url, _):
            monkeypatch.setenv("https_proxy", url.removesuffix("/v1"))
            with pytest.raises(error):
                await post("https://far.test/v1", connect=0.2)

    runner(main(refuse, ProxyRefusedError))
    runner(main(silent, ConnectTimeoutError))


def test_no_url(runner: Any) -> None:
    async def main() -> None:
        for url in ("ftp://host/v1", "http:///v1", "host/v1"):
            with pytest.raises(ValueError, match="no http or https address"):
                await post(url)
        await aclose_clients()

    runner(main())
