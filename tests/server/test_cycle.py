"""What clients get of a response's head and body, and in how many writes."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from launchpad.api.app import create_app
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.server.protocol import LaunchpadProtocol
from launchpad.settings import Settings
from launchpad.sse.connection import connection_of
from launchpad.testing.server import Server
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

Header = tuple[bytes, bytes]


class Counting(LaunchpadProtocol):
    """Notes what is written to the client."""

    writes: list[bytes]
    logs = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = self.logs  # not, under `launchpad serve`

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Noting(transport))


class Noting:
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        Counting.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@dataclass
class Answer:
    """What the app answers next."""

    headers: Iterable[Any] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=lambda: [b"whole"])
    status: int = 200
    joins: bool = True
    at_once: bool = False
    """All parts but the last are sent by tasks of their own."""


class App:
    """Answers as it is told, the head joined to the first part or not."""

    answer = Answer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = self.answer
        connection = connection_of(scope)
        assert connection is not None
        direct = connection["direct"](send, receive)
        assert direct is not None
        if answer.joins:
            direct.join_head()
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": answer.headers})
        parts = [{"type": "http.response.body", "body": part} for part in answer.parts]
        ahead = [{**part, "more_body": True} for part in parts[:-1]]
        if answer.at_once:
            await asyncio.gather(*map(send, ahead))
        else:
            for part in ahead:
                await send(part)
        await send(parts[-1])


@dataclass
class Served:
    """A server of that app."""

    app: App
    server: Server

    def get(self, answer: Answer, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
        """All that a client gets that asks for `answer`, and once more before it leaves."""
        self.app.answer = answer
        asked = b"%b / HTTP/%b\r\nhost: x\r\n" % (method, version)
        return answer_of(self.server, asked + b"\r\n" + asked + b"connection: close\r\n\r\n")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    app = App()
    with Server(app, timeout=20, grace=1, http=Counting) as server:
        yield Served(app, server)


def answer_of(server: Server, request: bytes, end: bytes = b"") -> bytes:
    """All that comes on a connection, but the date: up to `end`, or its own end."""
    Counting.writes = []
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(request)
        while not (end and answer.endswith(end)) and (data := client.recv(65536)):
            answer += data
    return re.sub(rb"(?im)^date: .*\r\n", b"", answer)


def test_a_head_leaves_with_the_first_part_of_its_body(served: Served) -> None:
    head = b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\nx-kind: test\r\n"
    body = b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    whole = head + body + head + b"connection: close\r\n" + body
    assert served.get(Answer([(b"X-Kind", b"test")], [b"one", b"two"])) == whole
    assert Counting.writes[0].endswith(b"\r\n\r\n3\r\none\r\n")
    assert Counting.writes[1] == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_short_answer_is_one_write(served: Served) -> None:
    assert served.get(Answer()).endswith(b"\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
    assert Counting.writes[0].endswith(b"\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")


def test_with_an_access_log_uvicorn_writes_it(served: Served) -> None:
    Counting.logs = True
    try:
        assert served.get(Answer()).endswith(b"\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
    finally:
        Counting.logs = False
    assert Counting.writes[0].endswith(b"\r\n\r\n")
    assert Counting.writes[1] == b"5\r\nwhole\r\n0\r\n\r\n"


def test_headers_may_be_an_iterator(served: Served) -> None:
    for joins in (True, False):
        pairs = iter([(b"x-a", b"1"), (b"content-length", b"5")])
        assert served.get(Answer(pairs, joins=joins)).startswith(
            b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\nx-a: 1\r\ncontent-length: 5\r\n\r\nwhole"
        )


_names = st.sampled_from(
    [b"x-a", b"X-B", b"connection", b"content-length", b"transfer-encoding", b"bad name", b"server"]
)
_values = st.sampled_from([b"1", b"4", b"chunked", b"close", b"Keep-Alive", b"a b", b"a\r\nb: c"])
_bytes = st.one_of(_values, _values.map(bytearray), _values.map(memoryview))
_parts = st.lists(st.sampled_from([b"", b"four", b"x" * 100_000]), min_size=1, max_size=3)
_statuses = st.sampled_from([200, 200, 200, 404, 204])


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@settings(deadline=None)
@given(headers=st.lists(st.tuples(_names, _bytes), max_size=4), parts=_parts, status=_statuses)
def test_joined_or_not_the_client_gets_the_same(
    served: Served, method: bytes, headers: list[Header], parts: list[bytes], status: int
) -> None:
    joined, apart = (
        served.get(Answer(headers, parts, status, joins), method) for joins in (True, False)
    )
    assert joined == apart


_plain_names = st.sampled_from([b"x-a", b"Connection", b"Transfer-Encoding"])
_plain_values = st.sampled_from([b"chunked", b"close", b"keep-alive, foo", b"Keep-Alive"])


@settings(deadline=None)
@given(
    headers=st.lists(st.tuples(_plain_names, _plain_values), max_size=3),
    parts=_parts,
    status=st.sampled_from([200, 404]),
    at_once=st.booleans(),
)
def test_an_http_1_0_client_gets_the_body_as_it_is(
    served: Served, headers: list[Header], parts: list[bytes], status: int, at_once: bool
) -> None:
    answer = served.get(Answer(headers, parts, status, at_once=at_once), version=b"1.0")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"".join(parts)
    assert b"transfer-encoding" not in head
    said = re.findall(rb"\r\nconnection: ([^\r]*)", head)
    assert b"close" in said
    assert not any(b"keep-alive" in one.lower() for one in said)


@pytest.mark.parametrize("status", [204, 304])
def test_nor_a_body_where_there_is_none(served: Served, status: int) -> None:
    answer = served.get(Answer(parts=[b""], status=status), version=b"1.0")
    assert answer.endswith(b"\r\nconnection: close\r\n\r\n")
    assert served.get(Answer(parts=[b"x"], status=status), version=b"1.0").endswith(b"\r\n\r\n")


class Words(Node):
    async def process(self, task_context: Any) -> Any:
        yield "one"
        yield "two"


class WordsFlow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Words, nodes=[NodeConfig(node=Words)]
    )


BODY = b'{"stream":true,"messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture(scope="module")
def launchpad() -> Iterator[Server]:
    app = create_app({"words": WordsFlow}, Settings(_env_file=None, debounce=0))
    with Server(app, timeout=20, grace=1, http=Counting) as server:
        yield server


def asked(version: bytes, *headers: bytes, body: bytes = BODY) -> bytes:
    lines = [b"POST /v1/chat/completions HTTP/" + version, b"host: 127.0.0.1", *headers]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


def test_a_stream_begins_with_its_head(launchpad: Server) -> None:
    answer_of(launchpad, asked(b"1.1"), end=b"\r\n0\r\n\r\n")
    assert Counting.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" in Counting.writes[0][:-4]
    assert b"data: {" in Counting.writes[0]


def test_an_http_1_0_client_gets_no_chunked_framing(launchpad: Server) -> None:
    head, _, body = answer_of(launchpad, asked(b"1.0")).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nconnection: close" in head
    events = body.split(b"\n\n")
    assert all(event.startswith(b"data: ") for event in events[:-1])
    assert events[-2:] == [b"data: [DONE]", b""]


def test_it_gets_a_length_where_there_is_one(launchpad: Server) -> None:
    whole = BODY.replace(b"true", b"false")
    head, _, body = answer_of(launchpad, asked(b"1.0", body=whole)).partition(b"\r\n\r\n")
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    assert body.startswith(b"{")


@pytest.mark.parametrize(("asks", "said"), [(b"close", b"close"), (b"keep-alive", b"keep-alive")])
def test_the_connection_is_called_one_thing(launchpad: Server, asks: bytes, said: bytes) -> None:
    request = asked(b"1.1", b"connection: " + asks)
    answer = answer_of(launchpad, request, end=b"\r\n0\r\n\r\n")
    assert re.findall(rb"\r\nconnection: ([^\r]*)", answer) == [said]
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
