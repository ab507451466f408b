"""The floor: a bare ASGI app that sends ready-made bytes, one SSE event a token.

The request's query says what to send, in the upstream's terms (`?flat:500`). Paced tokens follow
the upstream's pacemaker, so that their stamps do not depend on this loop's own timers and a
backlog shows. Args: its port, the upstream's port.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import uvicorn

EVENT = (
    b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
)
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ],
}
LAST = {"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False}
STAMP = 16


class Pacemaker(asyncio.Protocol):
    """The upstream's ticks; `next_token` waits for the slot's next one."""

    period = 20

    def __init__(self) -> None:
        self._slots = [asyncio.get_running_loop().create_future() for _ in range(self.period)]
        self._rest = b""
        self._slot = 0

    def connection_made(self, transport) -> None:
        transport.write(b"GET /ticks HTTP/1.1\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= STAMP:
            stamp, self._rest = self._rest[:STAMP], self._rest[STAMP:]
            self._slot = (self._slot + 1) % self.period
            slot = self._slots[self._slot]
            self._slots[self._slot] = asyncio.get_running_loop().create_future()
            slot.set_result(stamp)

    def slot(self) -> int:
        return self._slot

    def next_token(self, slot: int) -> asyncio.Future[bytes]:
        return self._slots[slot]


class App:
    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._pacemaker: Pacemaker | None = None

    async def pacemaker(self) -> Pacemaker:
        if self._pacemaker is None:
            loop = asyncio.get_running_loop()
            self._pacemaker = Pacemaker()
            pacemaker = self._pacemaker
            await loop.create_connection(lambda: pacemaker, "127.0.0.1", self._upstream)
        return self._pacemaker

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        await receive()
        kind, *numbers = scope["query_string"].decode().split(":")
        run_id = uuid.uuid4().hex.encode()
        await send(HEAD)
        if kind == "flat":
            body = {
                "type": "http.response.body",
                "body": EVENT % (run_id, b" tok~"),
                "more_body": True,
            }
            for _ in range(int(numbers[0])):
                await send(body)
        elif kind == "paced":
            await self.paced(receive, send, run_id)
        else:
            body = {"type": "http.response.body", "body": EVENT % (run_id, b" tok~")}
            await send({**body, "more_body": True})
            await receive()
        await send(LAST)

    async def paced(self, receive, send, run_id: bytes) -> None:
        gone = asyncio.create_task(receive())
        pacemaker = await self.pacemaker()
        slot = pacemaker.slot()
        before, after = (EVENT % (run_id, b"~!")).split(b"!")
        while not gone.done():
            stamp = await pacemaker.next_token(slot)
            await send(
                {
                    "type": "http.response.body",
                    "body": before + stamp + after,
                    "more_body": True,
                }
            )


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
