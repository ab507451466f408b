"""A scripted upstream: a bare HTTP/1.1 server whose every byte the test decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from launchpad.models.agents.agent import build_agent
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.settings import Settings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Call:
    """One request that the server got, and the connection to answer it on."""

    head: str
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    async def start(self) -> None:
        self.writer.write(HEAD)
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def stream(self, *pieces: bytes) -> None:
        await self.start()
        for piece in pieces:
            await self.send(piece)
        await self.end()

    async def refuse(self, status: int, body: object, *headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Refused", "Content-Type: application/json", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
        self.writer.write(head.encode() + data)
        await self.writer.drain()

    async def wait_closed(self) -> None:
        """Until the other side has closed its connection."""
        with suppress(ConnectionError):
            while await self.reader.read(4096):
                pass
        self.closed.set()


Script = Callable[[Call], Awaitable[None]]


@dataclass
class Upstream:
    port: int
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def config(self, **changes: Any) -> AgentConfig:
        given: dict[str, Any] = {
            "model_provider": ModelProvider.OPENAI_COMPATIBLE,
            "model_name": "scripted",
            "base_url": self.url,
            "api_key": "secret",
        }
        return AgentConfig(**{**given, **changes})

    def agent(self, settings: Settings | None = None, **changes: Any) -> Any:
        return build_agent(
            self.config(**changes), streaming=True, name="Node", settings=settings or Settings()
        )


@asynccontextmanager
async def upstream(script: Script, ssl: Any = None) -> AsyncIterator[Upstream]:
    """Serve `script` for every request, on a port of loopback."""

    open_ones: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        task = asyncio.current_task()
        assert task is not None
        open_ones[task] = writer
        task.add_done_callback(lambda done: open_ones.pop(done, None))
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                call = Call(head, {}, reader, writer)
                length = int(call.header("content-length") or 0)
                call.body = json.loads(await reader.readexactly(length))
                found.calls.append(call)
                found.connected.set()
                await script(call)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=ssl)
    found = Upstream(server.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        server.close()
        for writer in open_ones.values():
            writer.transport.abort()
        if open_ones:
            await asyncio.wait(list(open_ones), timeout=5)


def event(data: object) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "scripted-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def text(*words: str) -> list[bytes]:
    """Chunks of text, the role before them."""
    first = chunk({"role": "assistant", "content": ""})
    return [event(first), *(event(chunk({"content": word})) for word in words)]


def usage(inputs: int, outputs: int) -> bytes:
    counts = {
        "prompt_tokens": inputs,
        "completion_tokens": outputs,
        "total_tokens": inputs + outputs,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    return event({**chunk({}), "choices": [], "usage": counts})


STOP = event(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"


def tool_call(index: int | None, **parts: Any) -> dict[str, Any]:
    function = {key: parts[key] for key in ("name", "arguments") if key in parts}
    found: dict[str, Any] = {"type": "function", "function": function}
    if index is not None:
        found["index"] = index
    if "id" in parts:
        found["id"] = parts["id"]
    return {"tool_calls": [found]}
