"""What clients may do to HTTP itself: half requests, endless heads, pipelining, upgrades."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from launchpad.api.router import create_router
from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Hang, Repeat, WaitFor

from .flows import FLOWS
from .harness import CHAT, PROTOCOL, Served, chat, eventually


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        yield client


def request(model: str, *headers: str, stream: bool = True) -> bytes:
    body = json.dumps(chat(model) | {"stream": stream}).encode()
    lines = [f"POST {CHAT} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


HEALTH = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


def read_until(client: socket.socket, words: bytes) -> bytes:
    """Everything up to `words`, or to the end."""
    received = b""
    while words not in received and (some := client.recv(65536)):
        received += some
    return received


def read_all(client: socket.socket) -> bytes:
    return read_until(client, b"(there is no such word)")


@pytest.mark.parametrize("rest", [b"POST /v1/ch", b"\r\n", HEALTH[:-2]])
def test_half_a_second_request_is_given_up_too(rest: bytes) -> None:
    with Served(FLOWS) as served:
        served.server.config.timeout_keep_alive = 1
        with connected(served) as client:
            client.sendall(HEALTH)
            assert b"200 OK" in read_until(client, b"}")
            client.sendall(rest)
            assert client.recv(100) == b"", "closed, with no answer"
        eventually(lambda: served.counts().connections == 0, "the connection's end")


def test_half_a_second_request_does_not_cut_the_first_ones_answer(
    upstream: ScriptedUpstream,
) -> None:
    gate = Gate()
    upstream.script(Chunk("one "), WaitFor(gate), Chunk("two"))
    with Served(FLOWS, heartbeat=0.0) as served:
        served.server.config.timeout_keep_alive = 1
        with connected(served) as client, connected(served) as idle:
            client.sendall(request("talk"))
            read_until(client, b"one ")
            client.sendall(request("talk")[:-1])
            # By the time that an idle one has been closed, the first would have been too.
            assert idle.recv(1) == b""
            gate.open()
            assert b"[DONE]" in read_until(client, b"[DONE]")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_client_that_has_sent_its_next_request_is_seen_leaving(
    upstream: ScriptedUpstream, stream: bool, together: bool
) -> None:
    upstream.script_all(Chunk("one"), Hang())
    with Served(FLOWS, heartbeat=0.0) as served:
        with connected(served) as client:
            if together:
                client.sendall(request("talk", stream=stream) + request("talk", stream=stream))
                upstream.wait_requests(1)
            else:
                client.sendall(request("talk", stream=stream))
                upstream.wait_requests(1)
                client.sendall(request("talk", stream=stream))
            eventually(lambda: served.runs.active == 1, "the first run")
        assert upstream.requests[0].wait_ended() == "left"
        eventually(lambda: served.counts().runs == 0, "the run's end", at_fault=served.tasks)
        assert len(upstream.requests) == 1, "nobody waits for the second"


def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream) -> None:
    upstream.script_all(Chunk("hello"))
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(request("talk") + HEALTH + request("talk", stream=False) + HEALTH)
        answers = b""
        while answers.count(b'"ok"') < 2:
            answers += client.recv(65536)
        assert answers.count(b"HTTP/1.1 200 OK") == 4
        assert answers.index(b"[DONE]") < answers.index(b'"ok"')


def endless(start: bytes, more: bytes, client: socket.socket) -> None:
    """Send up to 8 MB in a thread; the test's own thread reads."""

    def send() -> None:
        try:
            client.sendall(start)
            for _ in range(8_000_000 // len(more)):
                client.sendall(more)
        except OSError:
            pass  # it was cut

    threading.Thread(target=send, daemon=True).start()


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET / HTTP/1.1\r\n", b"x-many: " + b"a" * 1000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nx-long: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"", HEALTH[:-2] + b"x: " + b"a" * 100_000 + b"\r\n\r\n"),
    ],
)
def test_a_head_without_end_gets_431(start: bytes, more: bytes) -> None:
    with Served(FLOWS) as served:
        with connected(served) as client:
            endless(start, more, client)
            answer = read_until(client, b"}}")
            assert answer.startswith(b"HTTP/1.1 431 ")
            assert b"headers_too_large" in answer
            assert answer.count(b"HTTP/") == 1
        eventually(lambda: served.counts().connections == 0, "the connection's end")


GARBAGE = [
    pytest.param(b"\x16\x03\x01 this is no HTTP\r\n\r\n", id="garbage"),
    pytest.param(b"POST / HTTP/1.1\r\ncontent-length: abc\r\n\r\n", id="length"),
    pytest.param(
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        id="body",
    ),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_request_gets_400_in_the_form_of_all_errors(garbage: bytes) -> None:
    with Served(FLOWS) as served:
        with connected(served) as client:
            client.sendall(garbage)
            head, _, body = read_all(client).partition(b"\r\n\r\n")
        eventually(lambda: served.counts().connections == 0, "the connection's end")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_http"


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("ahead", [b"", HEALTH])
def test_what_is_no_request_does_not_come_into_a_running_answer(
    upstream: ScriptedUpstream, garbage: bytes, ahead: bytes
) -> None:
    gate = Gate()
    upstream.script(Chunk("one "), WaitFor(gate), Chunk("two"))
    with Served(FLOWS, heartbeat=0.0) as served:
        with connected(served) as client:
            client.sendall(request("talk"))
            answer = read_until(client, b"one ")
            client.sendall(ahead + garbage)
            served.counts()  # a turn of the server's loop
            gate.open()
            answer += read_all(client)
        eventually(lambda: served.counts().connections == 0, "the connection's end")
    first, end, second = answer.partition(b"[DONE]\n\n\r\n0\r\n\r\n")
    assert end
    assert first.count(b"HTTP/1.1 ") == 1
    # Whole requests before it have their answer, and it has none.
    assert second.count(b"HTTP/1.1 200 ") == second.count(b"HTTP/") == bool(ahead)


def test_a_body_that_breaks_off_in_garbage_within_its_answer_cuts_it() -> None:
    """An application may answer before it has read the request to its end."""
    with Served(FLOWS) as served:

        async def answers_early(_scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"so far", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass

        served.app.mount("/early", answers_early)
        with connected(served) as client:
            client.sendall(
                b"POST /early/ HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            assert read_until(client, b"so far").count(b"HTTP/") == 1
            client.sendall(b"xyz\r\n")
            with pytest.raises(ConnectionResetError):
                read_all(client)


NAMES_A_HOST = [
    (b"HTTP/1.1", b"", False),
    (b"HTTP/1.1", b"host: 127.0.0.1\r\nhost: 127.0.0.1\r\n", False),
    (b"HTTP/1.0", b"host: 127.0.0.1\r\nhost: 127.0.0.1\r\n", False),
    (b"HTTP/1.1", b"host: 127.0.0.1 evil\r\n", False),
    (b"HTTP/1.1", b"host: 127.0.0.1/v1\r\n", False),
    (b"HTTP/1.1", b"host: user@127.0.0.1\r\n", False),
    (b"HTTP/1.0", b"", True),
    (b"HTTP/1.1", b"host:\r\n", True),
    (b"HTTP/1.1", b"host: 127.0.0.1 \t\r\n", True),
    (b"HTTP/1.1", b"host: [::1]:8080\r\n", True),
    (b"HTTP/1.1", b"host: my_service.local:\r\n", True),
    (b"HTTP/1.1", b"host: xn--bcher-kva.example:80\r\n", True),
]


@pytest.mark.parametrize(("version", "lines", "taken"), NAMES_A_HOST)
def test_a_request_names_one_host(version: bytes, lines: bytes, taken: bool) -> None:
    """RFC 9112, 3.2."""
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(b"GET /health " + version + b"\r\n" + lines + b"\r\n")
        head, _, body = read_until(client, b"}").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 " if taken else b"HTTP/1.1 400 ")
    assert taken or b'"invalid_host"' in body
    assert b"\r\ndate: " in head, "as every answer has one (RFC 9110, 6.6.1)"


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost/v1/models", b"evil.example", 200),
        (b"HTTP://127.0.0.1:80/health?x=1", b"evil.example", 200),
        (b"http://evil.example/v1/models", b"localhost", 403),
        (b"HTTP://evil.example:80/v1/models", b"localhost", 403),
        (b"http://evil.example", b"localhost", 403),
        (b"http://localhost", b"localhost", 404),
        (b"http://localhost?/health", b"localhost", 404),
        (b"http://localhost@evil.example/health", b"localhost", 400),
        (b"http://:80/health", b"localhost", 400),
        (b"/http://evil.example/health", b"localhost", 404),
    ],
)
def test_the_host_of_a_target_counts_not_the_header_s(
    target: bytes, host: bytes, status: int
) -> None:
    """RFC 9112, 3.2.2."""
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (target, host))
        assert read_until(client, b"}").startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["transfer-encoding: gzip, chunked"], 501),
        (["transfer-encoding: gzip", "transfer-encoding: chunked"], 501),
        (["transfer-encoding: gzip"], 400),
        (["transfer-encoding: chunked, gzip"], 400),
        (["transfer-encoding: Chunked"], 200),
        (["transfer-encoding: ,chunked"], 200),
    ],
)
def test_transfer_codings(upstream: ScriptedUpstream, lines: list[str], status: int) -> None:
    """RFC 9112, 6.1 and 6.3."""
    upstream.script_all(Chunk("hello"))
    body = json.dumps(chat("talk") | {"stream": False}).encode()
    head = "\r\n".join([f"POST {CHAT} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]).encode()
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        said = read_until(client, b"}}") if status == 200 else read_all(client)
        assert said.startswith(b"HTTP/1.1 %d " % status)
        if status == 501:
            assert b'"unsupported_transfer_coding"' in said
    assert len(upstream.requests) == (status == 200)


def test_trailers_are_no_headers(upstream: ScriptedUpstream) -> None:
    """RFC 9110, 6.5.1."""
    upstream.script_all(Chunk("hello"))
    body = json.dumps(chat("talk")).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
    whole = b"%b\r\n%x\r\n%b\r\n0\r\n%b: %b\r\n\r\n"
    with Served(FLOWS, api_keys="me=key-one") as served, connected(served) as client:
        client.sendall(whole % (head.encode(), len(body), body, b"x-api-key", b"key-one"))
        assert read_until(client, b"}}").startswith(b"HTTP/1.1 401 ")
        head += "x-api-key: key-one\r\n"
        client.sendall(whole % (head.encode(), len(body), body, b"content-encoding", b"gzip"))
        assert b"[DONE]" in read_until(client, b"[DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(("version", "told"), [("1.0", False), ("1.1", True)])
def test_a_client_of_http_1_0_is_not_told_to_continue(
    upstream: ScriptedUpstream, version: str, told: bool
) -> None:
    """RFC 9110, 10.1.1."""
    upstream.script_all(Chunk("hello"))
    whole = request("talk", "expect: 100-continue").replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(whole)
        answer = read_until(client, b"[DONE]")
    assert answer.startswith(b"HTTP/1.1 100 ") == told
    assert b"HTTP/1.1 200 " in answer


def test_a_connection_whose_body_was_not_asked_for_closes() -> None:
    """What came behind it would be taken for the body (RFC 9110, 10.1.1)."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: 100-continue\r\n"
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(f"{head}content-length: {2**30}\r\n\r\n".encode())
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_trailers_without_end_get_431_too(upstream: ScriptedUpstream) -> None:
    start = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"
    with Served(FLOWS) as served:
        with connected(served) as client:
            endless(start.encode() + b"1\r\n{\r\n0\r\n", b"x: " + b"a" * 1000 + b"\r\n", client)
            assert read_until(client, b"}}").startswith(b"HTTP/1.1 431 ")
        eventually(lambda: served.counts().connections == 0, "the connection's end")


def test_a_large_head_and_a_body_in_small_chunks_are_fine(upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk("hello"))
    body = json.dumps(chat("talk", "word " * 4000)).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n"
        f"x-large: {'a' * 60_000}\r\n\r\n"
    )
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert len(chunks) > 65536
    with Served(FLOWS) as served, connected(served) as client:
        client.sendall(head.encode() + chunks + b"0\r\n\r\n")
        assert b"[DONE]" in read_until(client, b"[DONE]")


def test_an_upgrade_that_is_not_offered_is_ignored(upstream: ScriptedUpstream) -> None:
    """As curl --http2 and Java's HttpClient send it."""
    upstream.script_all(Chunk("hello"))
    upgrade = (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAAP__",
    )
    whole = request("talk", *upgrade)
    for cut in (len(whole), len(whole) - 10, 40):
        with Served(FLOWS) as served, connected(served) as client:
            client.sendall(whole[:cut])
            served.counts()  # a turn of the server's loop
            client.sendall(whole[cut:])
            assert b"[DONE]" in read_until(client, b"[DONE]\n\n\r\n0\r\n\r\n")
            client.sendall(HEALTH)
            assert b"200 OK" in read_until(client, b"}"), "the connection goes on"


@pytest.mark.parametrize("ours", [True, False])
def test_a_router_in_a_users_own_app_drains_too(upstream: ScriptedUpstream, ours: bool) -> None:
    """`app.include_router(create_router(…))`, with our protocol and with uvicorn's."""
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    served = Served(FLOWS, heartbeat=0.0, shutdown_grace=0.2)
    app = FastAPI()
    app.include_router(create_router(FLOWS, served.settings))
    app.include_router(create_router({"other": FLOWS["talk"]}, served.settings), prefix="/other")
    config = uvicorn.Config(app, http=PROTOCOL if ours else "httptools", log_config=None)
    served.server = uvicorn.Server(config)
    with served:
        stream = open_stream(served.url + CHAT, chat("talk"))
        other = open_stream(f"{served.url}/other{CHAT}", chat("other"))
        if not ours:
            stream.close()
            other.close()
        served.stop()
        for one in (stream, other) if ours else ():
            assert "shutting down" in one.read_all()[-1].data
            one.close()
        served.join()
