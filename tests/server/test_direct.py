"""`DirectBody` under a real server: bare ASGI apps that use it, clients that leave."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from tests.reliability.harness import eventually
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from launchpad.api.app import create_app
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.server.direct import DirectBody
from launchpad.server.protocol import LaunchpadProtocol
from launchpad.settings import Settings
from launchpad.sse.connection import Direct, connection_of
from launchpad.sse.response import SSEResponse
from launchpad.testing.server import Server
from launchpad.testing.sse import open_stream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

Use = Callable[[Direct, Receive, Send], Awaitable[None]]


@contextmanager
def served(use: Use) -> Iterator[Server]:
    """An app that gives `use` the way past its request's `send`; what `use` raises is raised."""
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        connection = connection_of(scope)
        assert connection is not None
        direct = connection["direct"](send, receive)
        assert direct is not None
        try:
            await use(direct, receive, send)
        except BaseException as error:
            raised.append(error)
            raise

    with Server(app, timeout=20, grace=1, http=LaunchpadProtocol) as server:
        yield server
    if raised:
        raise raised[0]


async def begin(send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})


async def end(send: Send, body: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": body, "more_body": False})


def ask(server: Server, method: str = "GET") -> bytes:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"%b / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % method.encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_parts_come_between_the_head_and_the_end() -> None:
    async def use(direct: Direct, receive: Receive, send: Send) -> None:
        assert not direct.has_room(), "the head comes first"
        await begin(send)
        assert direct.has_room()
        assert direct.write(b"one ")
        assert direct.write(b"two ")
        await end(send, b"three")
        assert not direct.write(b"too late")

    with served(use) as server:
        assert ask(server).endswith(b"\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_with_a_length_or_none_is_for_send(method: str) -> None:
    async def use(direct: Direct, receive: Receive, send: Send) -> None:
        await begin(send, *([(b"content-length", b"5")] if method == "GET" else []))
        assert not direct.has_room()
        await end(send, b"whole" if method == "GET" else b"")

    with served(use) as server:
        assert ask(server, method).endswith(b"\r\n\r\nwhole" if method == "GET" else b"\r\n\r\n")


def test_a_client_that_takes_nothing_gets_no_more() -> None:
    async def use(direct: Direct, receive: Receive, send: Send) -> None:
        await begin(send)
        wrote = 0
        while direct.write(b"x" * 65536):
            wrote += 65536
            await asyncio.sleep(0)
        assert wrote < 64 * 1024 * 1024
        assert not direct.has_room()
        with suppress(asyncio.CancelledError):
            await end(send)

    with served(use) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert client.recv(1)
        while client.recv(1 << 20):
            pass


@pytest.mark.parametrize("when", ["before", "after", "no more"])
def test_who_wants_to_know_hears_that_the_client_left(when: str) -> None:
    waits, heard = threading.Event(), threading.Event()

    async def use(direct: Direct, receive: Receive, send: Send) -> None:
        if when != "after":
            direct.on_left(heard.set)
        if when == "no more":
            direct.on_left(None)
        waits.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        if when == "after":
            direct.on_left(heard.set)
        assert heard.is_set() == (when != "no more")
        assert not direct.write(b"nobody")

    with served(use) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert waits.wait(20)


class Silent(Node):
    began = threading.Event()
    over = threading.Event()

    async def process(self, task_context: Any) -> None:
        Silent.began.set()
        try:
            await asyncio.sleep(20)
        finally:
            Silent.over.set()


class SilentFlow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Silent, nodes=[NodeConfig(node=Silent)]
    )


@pytest.fixture
def silent() -> Iterator[Server]:
    Silent.began.clear()
    Silent.over.clear()
    app = create_app({"silent": SilentFlow}, Settings(_env_file=None))
    with Server(app, timeout=20, grace=1, http=LaunchpadProtocol) as server:
        yield server


class Paused(LaunchpadProtocol):
    """Reads no further, as uvicorn does where more than 64 KiB of a body came in one piece."""

    def direct(self, send: Send, receive: Receive) -> DirectBody | None:
        self.flow.pause_reading()
        return super().direct(send, receive)


def test_a_client_is_seen_leaving_that_is_not_read() -> None:
    Silent.began.clear()
    Silent.over.clear()
    app = create_app({"silent": SilentFlow}, Settings(_env_file=None))
    with Server(app, timeout=20, grace=1, http=Paused) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(
                b"GET /chat/stream?message=hi&model=silent HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
            )
            assert Silent.began.wait(10)
        assert Silent.over.wait(4)


def test_so_is_one_whose_body_nobody_reads(silent: Server) -> None:
    with socket.create_connection(("127.0.0.1", silent.port)) as client:
        client.sendall(
            b"GET /chat/stream?message=hi&model=silent HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            b"content-length: 1000000\r\n\r\n"
        )
        client.sendall(b"x" * 1_000_000)
        assert Silent.began.wait(10)
    # Sooner than the connection is given up because nothing more of the request comes.
    assert Silent.over.wait(4)


class Says(Node):
    async def process(self, task_context: Any) -> Any:
        for word in ("one", "two", "three"):
            yield word
            await asyncio.sleep(0.005)


class SaysFlow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Says, nodes=[NodeConfig(node=Says)]
    )


def test_nothing_is_left_that_only_the_collector_would_find() -> None:
    app = create_app({"says": SaysFlow}, Settings(_env_file=None))
    body = {"model": "says", "stream": True, "messages": [{"role": "user", "content": "x"}]}

    def alive() -> int:
        return sum(type(one) is RequestResponseCycle for one in gc.get_objects())

    with Server(app, timeout=20, grace=1, http=LaunchpadProtocol) as server:
        for _ in range(3):  # whatever is made once
            with open_stream(server.url + "/v1/chat/completions", body) as client:
                client.read_body()
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for _ in range(20):
                with open_stream(server.url + "/v1/chat/completions", body) as client:
                    assert b"three" in client.read_body()
            # The last connections may be about to close.
            assert alive() <= before + 3
        finally:
            gc.enable()


def test_a_connection_that_is_kept_keeps_nothing_of_its_last_stream() -> None:
    gc.collect()  # what other tests' cut streams left in their tracebacks
    app = create_app({"says": SaysFlow}, Settings(_env_file=None))
    body = json.dumps(
        {"model": "says", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    )
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: "
    with (
        Server(app, timeout=20, grace=1, http=LaunchpadProtocol) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
        answer = b""
        while not answer.endswith(b"\r\n0\r\n\r\n"):
            answer += client.recv(65536)
        assert b"three" in answer
        # Sooner than it is closed for being idle.
        eventually(
            lambda: not any(type(one) is SSEResponse for one in gc.get_objects()), "its end", 3
        )
