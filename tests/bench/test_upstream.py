"""The bench's upstream speaks OpenAI's protocol: the SDK reads it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bench.asking import get
from bench.completions import JSON_CUT, document, json_deltas
from bench.process import Server
from bench.runner import start_upstream
from openai import AsyncOpenAI


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    with start_upstream(0) as server:
        yield server


@asynccontextmanager
async def completion(upstream: Server, mode: str, **more: Any) -> AsyncIterator[Any]:
    get(upstream.port, f"/mode/{mode}")
    base_url = f"http://127.0.0.1:{upstream.port}/v1"
    async with AsyncOpenAI(base_url=base_url, api_key="bench", timeout=20) as client:
        messages: Any = [{"role": "user", "content": "Why?"}]
        stream = await client.chat.completions.create(
            model="bench", messages=messages, stream=True, **more
        )
        async with stream:
            yield stream


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await main()

    return asyncio.run(bounded())


async def texts(stream: Any) -> list[str]:
    return [c.choices[0].delta.content async for c in stream if c.choices[0].delta.content]


def test_flat_is_so_many_tokens_and_a_finish(upstream: Server) -> None:
    async def main() -> list[Any]:
        async with completion(upstream, "flat:5", stream_options={"include_usage": True}) as stream:
            return [chunk async for chunk in stream]

    *said, finish, usage = run(main)
    assert [chunk.choices[0].delta.content for chunk in said] == ["", *[" tok~"] * 5]
    assert finish.choices[0].finish_reason == "stop"
    assert not usage.choices
    assert usage.usage is not None


def test_paced_tokens_carry_rising_stamps(upstream: Server) -> None:
    async def main() -> list[str]:
        async with completion(upstream, "paced:200:10") as stream:
            return await texts(stream)

    stamps = [int(text.removeprefix("~")) for text in run(main)]
    assert len(stamps) == 10
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))


def test_idle_says_one_token_and_stays_open(upstream: Server) -> None:
    async def main() -> None:
        async with completion(upstream, "idle") as stream:
            assert (await anext(stream)).choices[0].delta.content == ""
            assert (await anext(stream)).choices[0].delta.content == " tok~"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.2)

    run(main)


def test_a_json_document_arrives_whole(upstream: Server) -> None:
    async def main() -> list[str]:
        async with completion(upstream, "json:3000") as stream:
            return await texts(stream)

    said = run(main)
    assert said == json_deltas(3000)
    assert all(len(text) <= JSON_CUT for text in said)
    assert json.loads("".join(said)) == json.loads(document(3000))


@pytest.mark.parametrize("size", [1_000, 10_000, 100_000])
def test_documents_have_about_their_size(size: int) -> None:
    assert abs(len(document(size)) - size) < 0.05 * size


def test_its_ticks_are_stamps(upstream: Server) -> None:
    async def main() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"GET /ticks HTTP/1.1\r\n\r\n")
        found = await reader.readexactly(48)
        writer.close()
        return found

    found = run(main)
    assert int(found[:16]) <= int(found[16:32]) <= int(found[32:])
