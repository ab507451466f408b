"""The HTTP client and upstreams that send, or leave unread, more than is good for it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import uvloop
from tests.models.faults import fail, run
from tests.models.test_http import CHUNKED, HEAD, answering, post, request_of, serving, whole
from tests.models.upstream import DONE, STOP, Call, Upstream, event, text

from launchpad.models.http.connection import BrokenConnectionError
from launchpad.models.http.unpacked import SLICE

LARGE = 32 * 1024 * 1024
LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Any:
    return asyncio.run if request.param == "asyncio" else uvloop.run


# Connections that are not kept


@pytest.mark.parametrize("status", [b"413 Content Too Large", b"400 Bad Request"])
def test_a_connection_with_an_unsent_request_is_not_used_again(runner: Any, status: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) > 1:
            await request_of(reader)
            writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")
            return
        await reader.readexactly(2000)
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno")
        await left.wait()

    async def main() -> None:
        nonlocal connections, left
        left = asyncio.Event()
        async with serving(talk) as (url, connections):
            # Far more than the kernels on the way take.
            refused = await post(url, b" " * LARGE)
            assert (refused.status, await whole(refused)) == (int(status[:3]), b"no")
            assert await whole(await asyncio.wait_for(post(url), 10)) == b"hello"
            left.set()

    connections: list[int] = []
    left = asyncio.Event()
    runner(main())


def test_a_connection_is_not_used_again_after_413(runner: Any) -> None:
    """The kernels have taken all of a small request: only the status tells."""
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"

    async def main() -> None:
        async with serving(answering(answer, close=False)) as (url, connections):
            for _ in range(2):
                assert await whole(await post(url)) == b"no"
            assert len(connections) == 2

    runner(main())


@pytest.mark.parametrize("always", [False, True])
def test_a_408_that_crosses_the_request_on_a_kept_connection(runner: Any, always: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = len(connections) == 1
        await request_of(reader)
        asked.append(1)
        if first or not always:
            writer.write(HEAD + b"Content-Length: 5\r\n\r\nhello")
            await request_of(reader)
            asked.append(1)
        writer.write(LATE)

    async def main() -> None:
        nonlocal connections
        async with serving(talk) as (url, connections):
            assert await whole(await post(url)) == b"hello"
            second = await post(url)
            assert await whole(second) == (b"" if always else b"hello")
            assert second.status == (408 if always else 200)
            assert len(connections) == 2
            assert len(asked) == 3

    connections: list[int] = []
    asked: list[int] = []
    runner(main())


# Heads without end


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (HEAD + b"X: ", b"x" * 1000),
        (HEAD, b"X: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ],
    ids=["one header", "many headers", "interim answers"],
)
def test_a_head_without_end(runner: Any, first: bytes, again: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(first)
        while not reader.at_eof():
            writer.write(again * 100)
            await writer.drain()

    async def main() -> None:
        async with serving(talk) as (url, _):
            with pytest.raises(BrokenConnectionError, match="head of the answer is larger"):
                await asyncio.wait_for(post(url), 20)

    runner(main())


def test_a_head_without_end_is_a_502() -> None:
    async def script(call: Call) -> None:
        call.writer.write(HEAD)
        while not call.reader.at_eof():
            call.writer.write(b"X: y\r\n" * 1000)
            await call.writer.drain()

    found, _ = fail(script)
    assert (found.status, found.code) == (502, "upstream_error")


def test_a_head_of_ordinary_size(runner: Any) -> None:
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(60))

    async def main() -> None:
        answer = HEAD + lines + b"Content-Length: 5\r\n\r\nhello"
        async with serving(answering(answer)) as (url, _):
            assert await whole(await post(url)) == b"hello"

    runner(main())


# Packed bodies


def packed(data: bytes) -> bytes:
    return b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@pytest.mark.parametrize("size", [0, 1, SLICE - 1, SLICE, SLICE + 1, 5 * SLICE, 5 * SLICE + 77])
def test_a_packed_body_comes_in_slices(runner: Any, pack: Any, size: int) -> None:
    plain = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    data = pack(plain)
    half = len(data) // 2
    talk = answering(HEAD + packed(data) + data[:half], data[half:], close=False)

    async def main() -> None:
        async with serving(talk) as (url, connections):
            for _ in range(2):
                response = await post(url)
                found: list[bytes] = []
                while piece := await response.read():
                    found.append(piece)
                response.finish()
                assert b"".join(found) == plain
                assert all(len(piece) <= SLICE for piece in found)
            assert len(connections) == 1

    runner(main())


def test_a_packed_body_lets_others_have_their_turns(runner: Any) -> None:
    data = gzip.compress(bytes(LARGE))

    async def main() -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with serving(answering(HEAD + packed(data) + data)) as (url, _):
            response = await post(url)
            other = asyncio.create_task(count())
            most = 0
            before = turns
            while piece := await response.read():
                most, before = max(most, len(piece)), turns
            other.cancel()
            assert most == SLICE
            assert before > LARGE // SLICE // 2

    runner(main())


@pytest.mark.parametrize("at_once", [True, False])
def test_what_follows_a_packed_body_is_skipped(runner: Any, at_once: bool) -> None:
    """To its end: what looks like a member behind it is none any more."""
    parts = [gzip.compress(b"hello"), b"and more", gzip.compress(b"again")]
    data = b"".join(parts)

    async def main() -> None:
        came = [data] if at_once else parts
        async with serving(answering(HEAD + packed(data), *came)) as (url, _):
            assert await whole(await post(url)) == b"hello"

    runner(main())


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_members_of_a_packed_body_are_one(runner: Any, step: int) -> None:
    """Who packs each write by itself sends such a body."""
    pieces = [b"data: a\n\n", b"", b"0123456789abcdef" * (SLICE // 8), b"data: [DONE]\n\n"]
    data = b"".join(map(gzip.compress, pieces))
    head = HEAD + packed(data).replace(b"gzip", b"x-gzip")
    cuts = [data[at : at + step] for at in range(0, len(data), step)]

    async def main() -> None:
        async with serving(answering(head, *cuts, moment=0.001)) as (url, _):
            assert await whole(await post(url)) == b"".join(pieces)

    runner(main())


def test_a_packing_that_is_broken(runner: Any) -> None:
    data = gzip.compress(b"hello" * 1000)[:20] + b"nonsense" * 10

    async def main() -> None:
        async with serving(answering(HEAD + packed(data) + data)) as (url, _):
            response = await post(url)
            with pytest.raises(BrokenConnectionError, match="packing"):
                await whole(response)

    runner(main())


def test_closing_in_the_midst_of_a_packed_body(runner: Any) -> None:
    data = gzip.compress(bytes(LARGE))

    async def main() -> None:
        async with serving(answering(HEAD + packed(data) + data)) as (url, _):
            response = await post(url)
            assert await response.read()
            response.close()
            with pytest.raises(BrokenConnectionError):
                await response.read()

    runner(main())


def test_a_packed_stream_comes_as_it_is_made() -> None:
    pack = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    read = asyncio.Event()

    async def script(call: Call) -> None:
        call.writer.write(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        for piece in ([*text("a")], [text("b")[1], STOP, DONE]):
            await call.send(pack.compress(b"".join(piece)) + pack.flush(zlib.Z_SYNC_FLUSH))
            await read.wait()
        await call.end()

    async def body(server: Upstream) -> str:
        async with server.agent().run_stream("Hello") as result:
            async for said in result.stream_text(debounce_by=None):
                assert said.startswith("a")
                read.set()
            return str(await result.get_output())

    assert run(script, body) == "ab"


@pytest.mark.parametrize("kind", ["event", "whole", "status"])
def test_a_packed_answer_that_is_too_large(kind: str) -> None:
    plain = event({"x": "y" * 2 * LARGE}) if kind == "event" else bytes(2 * LARGE)
    body = gzip.compress(plain)
    status = b"400 Bad Request" if kind == "status" else b"200 OK"
    media = b"text/event-stream" if kind == "event" else b"application/json"

    async def script(call: Call) -> None:
        head = b"HTTP/1.1 " + status + b"\r\nContent-Type: " + media + b"\r\n"
        call.writer.write(head + packed(body) + body)

    found, heard = fail(script)
    wanted = (400, "upstream_rejected") if kind == "status" else (502, "upstream_error")
    assert (found.status, found.code) == wanted
    assert heard == []
