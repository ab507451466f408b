"""A client that reads slowly, or not at all, with every TCP window really full."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from fastapi import Request
from fastapi.responses import StreamingResponse

from launchpad.settings import Settings, use_settings
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import Stream, open_stream
from launchpad.testing.steps import Chunk, Repeat
from launchpad.utils.event_stream_generator import event_stream_generator

from .flows import FLOWS, Flood, seen
from .harness import CHAT, Served, chat, eventually

WINDOW = 4096
"""The client's receive buffer; Linux doubles it."""
HELD = 4 * 1024 * 1024
"""Bytes that a stuck client may make the server and the kernel hold: the ceiling of the tests.

In the server: a mailbox of 256 events, one write, and uvicorn's 64 KiB; in the kernel 128 KiB
unsent and what is on its way. Each event here is 1,000 bytes, some 1,200 on the wire.
"""


@pytest.fixture
def served(upstream: ScriptedUpstream) -> Iterator[Served]:
    with Served(FLOWS, heartbeat=0.0, send_timeout=60.0) as running:
        yield running


def stuck(served: Served, body: object, *, wait_head: bool = True) -> Stream:
    """A client that asks and then reads nothing."""
    assert isinstance(body, dict)
    return open_stream(served.url + CHAT, body, receive_buffer=WINDOW, wait_head=wait_head)


def standing_still(look: object) -> int:
    """The value of a counter once it has stopped growing."""
    assert callable(look)
    last, since, deadline = look(), time.monotonic(), time.monotonic() + 20
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < deadline, f"it still grows: {last}"
        time.sleep(0.02)
        if (now := look()) != last:
            last, since = now, time.monotonic()
    assert isinstance(last, int)
    return last


def test_it_stops_its_own_producer(served: Served) -> None:
    client = stuck(served, chat("flood"))
    made = standing_still(lambda: Flood.made)
    assert 0 < made * 1000 < HELD
    # It goes on as soon as somebody reads, and nothing was lost on the way.
    received = 0
    while received < 2 * made:
        event = client.next_event()
        assert event is not None
        received += "xxx" in event.data
    client.close()
    eventually(lambda: seen.cleaned["Flood"] == 1, "clean-up")


@pytest.mark.parametrize("model", ["talk", "direct"])
def test_it_stops_its_own_upstream(served: Served, upstream: ScriptedUpstream, model: str) -> None:
    upstream.script(Repeat("t{i} " + "x" * 1000))
    client = stuck(served, chat(model))
    (request,) = upstream.wait_requests()
    sent = request.wait_blocked(lasting=0.5, timeout=20)
    assert 0 < sent * 1000 < HELD
    for number in range(sent + 100):
        event = client.next_event()
        while event is not None and "xxx" not in event.data:
            event = client.next_event()
        assert event is not None
        assert f'"t{number} ' in event.data, "every token, in order"
    client.close()
    request.wait_disconnected()


def test_others_go_on_beside_it(served: Served, upstream: ScriptedUpstream) -> None:
    upstream.script(Repeat("x" * 1000))
    idle = stuck(served, chat("talk"))
    upstream.requests[0].wait_blocked(timeout=20)
    upstream.script_all(Repeat("t{i} ", 50))
    for _ in range(5):
        with served.post(chat("talk")) as other:
            events = other.read_all()
        assert events[-1].data == "[DONE]"
    assert idle.ended == "open"
    idle.close()


def test_it_is_cut_off_after_the_send_timeout(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(Repeat("x" * 1000))
    with Served(FLOWS, heartbeat=0.05, send_timeout=0.5) as served:
        before = served.counts()
        client = stuck(served, chat("talk"))
        upstream.wait_requests()[0].wait_disconnected()
        eventually(lambda: served.counts() <= before, "nothing left", at_fault=served.tasks)
        assert seen.cleaned == seen.entered
    # A reset: the server's close would wait for as long as the window is full.
    client.read_all()
    client.close()
    assert client.ended == "reset"
    lines = [record.getMessage() for record in caplog.records if record.name == "launchpad.sse"]
    assert len(lines) == 1
    assert "cut off: the client took no bytes for" in lines[0]
    assert lines[0].startswith("run ")


def test_slow_is_not_stuck(upstream: ScriptedUpstream) -> None:
    """A client that takes a little all the time is served, however long each write waits."""
    upstream.script(Repeat("t{i} " + "x" * 1000, 400))
    with Served(FLOWS, heartbeat=0.0, send_timeout=0.4) as served:
        client = stuck(served, chat("talk"))
        words = 0
        while (event := client.next_event()) is not None:
            words += "xxx" in event.data
            if words < 150:  # longer than the timeout, for what fills the buffers
                time.sleep(0.016)
        client.close()
        assert client.ended == "complete"
        assert words == 400


def test_in_a_foreign_server_the_run_ends(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A plain uvicorn offers no reset: the run and its upstream end, its place is free."""
    upstream.script(Repeat("x" * 1000))
    with Served(FLOWS, foreign=True, heartbeat=0.0, send_timeout=0.5) as served:
        client = stuck(served, chat("talk"))
        upstream.wait_requests()[0].wait_disconnected()
        eventually(lambda: seen.cleaned == seen.entered, "clean-up")
        eventually(lambda: served.counts().runs == 0, "its place is free")
        assert any("cut off" in record.getMessage() for record in caplog.records)
        client.abort()
        eventually(lambda: served.counts().connections == 0, "the connection's end")


@pytest.mark.parametrize("model", ["talk", "direct"])
def test_a_whole_answer_that_nobody_reads(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, model: str
) -> None:
    """The run is over and its place free; the connection is reset in the end."""
    caplog.set_level(logging.WARNING)
    upstream.script(Chunk("x" * 1_000_000), Chunk("y" * 1_000_000))
    with Served(FLOWS, heartbeat=0.0, send_timeout=0.5) as served:
        before = served.counts()
        client = stuck(served, chat(model) | {"stream": False}, wait_head=False)
        upstream.wait_requests()[0].wait_ended()
        eventually(lambda: served.counts() <= before, "nothing left", at_fault=served.tasks)
    client.read_body()
    client.close()
    assert client.ended == "reset"
    assert any("took no byte of its response" in one.getMessage() for one in caplog.records)


def test_a_whole_answer_that_is_read_slowly(upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk("x" * 1_000_000))
    with Served(FLOWS, heartbeat=0.0, send_timeout=0.4) as served:
        client = stuck(served, chat("direct") | {"stream": False})
        while client.ended == "open":
            time.sleep(0.01)
            client._read(time.monotonic() + 10)
        client.close()
        assert client.ended == "complete"
        assert len(client.body) > 1_000_000


def test_a_request_that_does_not_get_complete(upstream: ScriptedUpstream) -> None:
    with Served(FLOWS) as served:
        served.server.config.timeout_keep_alive = 1
        before = served.counts()
        clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
        clients[1].sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc")
        clients[2].sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
        )
        for client in clients:
            client.settimeout(20)
            assert client.recv(100) == b"", "closed, with no answer"
            client.close()
        eventually(lambda: served.counts() <= before, "nothing left", at_fault=served.tasks)


def test_behind_document_001_s_own_door_the_run_ends(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """`StreamingResponse(event_stream_generator(…))` in a user's own app, on a plain uvicorn."""
    settings = Settings(_env_file=None, model="openai:scripted", send_timeout=0.5)
    upstream.script(Repeat("x" * 1000))
    with Served(FLOWS, foreign=True, heartbeat=0.0) as served:

        async def own(request: Request) -> StreamingResponse:
            use_settings(settings)
            stream = FLOWS["talk"]().run_stream_async(await request.json())
            return StreamingResponse(event_stream_generator(stream))

        served.app.add_route("/own", own, methods=["POST"])
        client = open_stream(served.url + "/own", chat("talk"), receive_buffer=4096)
        assert client.next_event() is not None
        upstream.wait_requests()[0].wait_disconnected()
        eventually(lambda: seen.cleaned == seen.entered, "clean-up")
        assert "its client took nothing for 0.5 s" in caplog.text
        client.close()
