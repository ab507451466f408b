"""The load generator counts the same whatever way the bytes arrive."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from bench.completions import event
from bench.load import Call, Client, Load, connect, quantile

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(*events: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events)
    return HEAD + body + b"0\r\n\r\n"


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


async def fed(parts: list[bytes], load: Load) -> list[Client]:
    """A client on a real connection, given these reads; returns who ended."""
    ours, theirs = socket.socketpair()
    ended: list[Client] = []
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(lambda: Client(load, ended.append), sock=ours)
    client.send(b"POST / HTTP/1.1\r\n\r\n")
    for part in parts:
        client.data_received(part)
    client.close()
    transport.close()
    await asyncio.sleep(0)
    theirs.close()
    return ended


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 16, 17, 100, 10_000])
def test_counts_do_not_depend_on_the_cuts(size: int) -> None:
    answer = chunked(*[event(b'{"content":" tok~"}')] * 7, b"data: [DONE]\n\n")
    load = Load()

    ended = asyncio.run(fed(pieces(answer, size), load))

    assert (load.tokens, load.frames, load.completed) == (7, 8, 1)
    assert load.bytes == len(answer)
    assert len(load.first_token) == 1
    assert len(ended) == 1
    assert not load.failures


def test_tokens_merged_into_one_frame_count_each() -> None:
    load = Load()
    asyncio.run(fed([chunked(event(b'{"content":" a~ b~ c~"}'))], load))
    assert (load.tokens, load.frames) == (3, 1)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 16, 17, 18, 64, 10_000])
def test_stamps_are_read_across_cuts(size: int) -> None:
    past = time.monotonic_ns() // 1000 - 5_000_000
    events = [event(b'{"content":"~%016d"}' % (past + number)) for number in range(6)]
    load = Load(stamps=True)

    asyncio.run(fed(pieces(chunked(*events), size), load))

    assert (load.tokens, load.frames, len(load.latencies)) == (6, 6, 6)
    assert all(5 <= seconds < 60 for seconds in load.latencies)


def test_another_status_is_a_failure_with_its_text() -> None:
    load = Load()
    asyncio.run(fed([b'HTTP/1.1 429 Too Many\r\n\r\n{"error": "slow down"}'], load))
    assert load.completed == 0
    assert "slow down" in load.failures[0]


def test_a_connection_that_closes_mid_stream_is_a_failure() -> None:
    async def main(load: Load) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + event(b'{"content":"~"}'))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            call = Call(server.sockets[0].getsockname()[1], b"GET / HTTP/1.1\r\n\r\n")
            client = await connect(call, load)
            client.send(call.raw)
            async with asyncio.timeout(10):
                while not load.failures:  # noqa: ASYNC110 - the client has no event for it
                    await asyncio.sleep(0.01)

    load = Load()
    asyncio.run(main(load))
    assert "mid-stream" in load.failures[0]


def test_quantiles() -> None:
    load = Load()
    load.latencies.extend([0.3, 0.1, 0.2])
    assert quantile(load.latencies, 0.5) == 0.2
    assert quantile(load.latencies, 0.99) == 0.3
