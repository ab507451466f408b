"""Runs against an upstream that does what a test says, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.models.upstream import Call, Script, Upstream, text, upstream

from launchpad.errors import UpstreamError
from launchpad.events import TextDelta
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import Settings

QUICK = Settings(first_token_timeout=0.2, stall_timeout=0.2)
SLOW = Settings()


def run(script: Script, body: Callable[[Upstream], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with upstream(script) as server:
            try:
                return await body(server)
            finally:
                await aclose_clients()

    return asyncio.run(main())


async def failure_of(
    server: Upstream, settings: Settings, heard: list[str], *, live: bool = True
) -> UpstreamError:
    try:
        async with server.agent(settings).run_stream("Hello") as result:
            if live:
                found = live_stream(result.run_id)
                assert found is not None
                async for one in found.events("Node", structured=False):
                    assert isinstance(one, TextDelta)
                    heard.append(one.text)
            heard.append(await result.get_output())
    except Exception as error:
        found_error = as_upstream_error(error)
        if found_error is not None:
            return found_error
        raise
    raise AssertionError(f"nothing failed; heard {heard}")


def fail(
    script: Script, settings: Settings = SLOW, *, live: bool = True
) -> tuple[UpstreamError, list[str]]:
    async def body(server: Upstream) -> tuple[UpstreamError, list[str]]:
        heard: list[str] = []
        return await failure_of(server, settings, heard, live=live), heard

    found = run(script, body)
    assert isinstance(found, tuple)
    return found


async def never(call: Call) -> None:
    raise AssertionError("not to be called")


async def silent(call: Call) -> None:
    await call.wait_closed()


async def silent_after_head(call: Call) -> None:
    await call.start()
    await call.send(b": still here\n\n")
    await call.wait_closed()


async def stalls(call: Call) -> None:
    await call.start()
    await call.send(b"".join(text("a", "b")))
    await call.wait_closed()


async def comments_forever(call: Call) -> None:
    await call.start()
    await call.send(b"".join(text("a")))
    closing = asyncio.create_task(call.wait_closed())
    while not closing.done():
        await call.send(b": ping\n\n")
        await asyncio.wait([closing], timeout=0.05)
