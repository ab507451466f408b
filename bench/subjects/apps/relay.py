"""The floor of anything with an upstream: uvicorn, and a raw connection whose bytes pass unread.

Args: its port, the upstream's port.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from bare import HEAD, LAST

LAST_CHUNK = b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One pooled connection; `read` gives what has arrived, None at the answer's end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._wake: asyncio.Future[None] | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.data_received(LAST_CHUNK)

    async def read(self) -> tuple[bytes, bool]:
        if not self._parts:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        data = b"".join(self._parts)
        self._parts.clear()
        ended = data.endswith(LAST_CHUNK)
        return (data.removesuffix(LAST_CHUNK), ended)


class App:
    def __init__(self, upstream: int) -> None:
        self._port = upstream
        self._idle: list[Upstream] = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        gone = asyncio.create_task(receive())
        upstream = self._idle.pop() if self._idle else None
        if upstream is None or upstream.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, upstream = await loop.create_connection(Upstream, "127.0.0.1", self._port)
        gone.add_done_callback(lambda task: task.cancelled() or upstream.transport.close())
        upstream.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        await send(HEAD)
        ended = False
        while not ended:
            data, ended = await upstream.read()
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if not upstream.transport.is_closing():
            gone.cancel()
            self._idle.append(upstream)
        await send(LAST)


if __name__ == "__main__":
    port, upstream = int(sys.argv[1]), int(sys.argv[2])
    uvicorn.run(
        App(upstream),
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=8192,
    )
