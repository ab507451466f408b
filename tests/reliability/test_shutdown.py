"""The server's end: streams first. Inside one process, where the order can be seen."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import open_stream
from launchpad.testing.steps import Chunk, Hang, Repeat, WaitFor

from .flows import FLOWS, chain, seen
from .harness import CHAT, Served, chat, eventually


def refused(served: Served) -> bool:
    """Whether nobody listens at the server's port any more."""
    try:
        socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_streams_finish_within_the_grace(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script_all(Chunk("one "), WaitFor(gate), Chunk("two"))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=60.0) as served:
        stream = served.post(chat("talk"))
        whole = open_stream(served.url + CHAT, chat("talk") | {"stream": False}, wait_head=False)
        gate.wait_reached(2)
        served.stop()
        eventually(lambda: refused(served), "no more connections")
        gate.open()
        events = stream.read_all()
        assert events[-1].data == "[DONE]"
        assert '"two"' in "".join(event.data for event in events)
        whole.read_head()
        assert b"one two" in whole.read_body()
        served.join()
        for client in (stream, whole):
            client.close()
    assert seen.cleaned == seen.entered


def test_the_rest_ends_with_an_error_event(upstream: ScriptedUpstream) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=0.3) as served:
        streams = [served.post(chat(model)) for model in ("talk", "direct", "both")]
        served.stop()
        for stream in streams:
            events = stream.read_all()
            assert stream.ended == "complete"
            assert '"code":"run_cancelled"' in events[-1].data.replace(" ", "")
            assert "shutting down" in events[-1].data
            stream.close()
        served.join()
    for request in upstream.requests:
        assert request.wait_ended() == "left"
    assert seen.cleaned == seen.entered


def test_before_the_first_token_it_is_a_503(upstream: ScriptedUpstream) -> None:
    upstream.script_all(Hang())
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=0.2) as served:
        bodies = [chat("talk"), chat("talk") | {"stream": False}]
        clients = [open_stream(served.url + CHAT, body, wait_head=False) for body in bodies]
        upstream.wait_requests(2)
        served.stop()
        for client in clients:
            client.read_head()
            assert client.status == 503
            assert b"shutting down" in client.read_body()
            client.close()
        served.join()


def test_who_waits_for_a_place_is_told_at_once(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script_all(Chunk("one"), WaitFor(gate))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=60.0, max_concurrent_runs=1) as served:
        first = served.post(chat("talk"))
        second = open_stream(served.url + CHAT, chat("talk"), wait_head=False)
        eventually(lambda: served.runs.queued == 1, "a run in the queue")
        served.stop()
        second.read_head()
        assert second.status == 503
        assert not gate.is_open, "the first one goes on meanwhile"
        gate.open()
        assert first.read_all()[-1].data == "[DONE]"
        first.close()
        second.close()
        served.join()


def test_a_second_signal_hurries(upstream: ScriptedUpstream) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=600.0) as served:
        stream = served.post(chat("talk"))
        served.stop()
        eventually(lambda: served.runs.closing, "the shutdown's beginning")
        assert stream.next_event() is not None
        served.stop()
        events = stream.read_all()
        assert "shutting down" in events[-1].data
        stream.close()
        served.join()


def test_idle_connections_close_at_once(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script_all(Chunk("one"), WaitFor(gate))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=60.0) as served:
        with httpx.Client() as client:
            assert client.get(f"{served.url}/health").json() == {"status": "ok"}
            silent = socket.create_connection(("127.0.0.1", served.port))
            stream = served.post(chat("talk"))
            eventually(lambda: served.counts().connections == 3, "three connections")
            served.stop()
            eventually(lambda: served.counts().connections == 1, "the idle ones' end")
            silent.close()
        gate.open()
        assert stream.read_all()[-1].data == "[DONE]"
        stream.close()
        served.join()


def test_a_client_that_does_not_read_cannot_hold_up_the_end(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launchpad.server.graceful.LAST_WORDS", 0.5)
    upstream.script(Repeat("x" * 1000))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=0.1, send_timeout=600.0) as served:
        client = open_stream(served.url + CHAT, chat("talk"), receive_buffer=4096)
        upstream.requests[0].wait_blocked(timeout=20)
        served.stop()
        served.join()
        client.read_all()
        assert client.ended == "reset"
        client.close()


class Hanging(Node):
    """Its clean-up does not come to its end."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "word"
        await asyncio.Event().wait()

    async def cleanup(self) -> None:
        await asyncio.Event().wait()


def test_a_second_signal_does_not_wait_for_a_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchpad.server.graceful.HURRIED_WORDS", 0.5)
    with Served({"hang": chain(Hanging)}, heartbeat=0.0, shutdown_grace=600.0) as served:
        stream = served.post(chat("hang"))
        served.stop()
        eventually(lambda: served.runs.closing, "the shutdown's beginning")
        served.stop()
        assert "shutting down" in stream.read_all()[-1].data
        stream.close()
        served.join()


class Long(Node):
    """More than any socket's buffers hold."""

    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        for _ in range(120):
            yield "y" * 100_000


def test_who_still_takes_bytes_has_the_whole_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchpad.server.graceful.LAST_WORDS", 1.0)
    with Served({"long": chain(Long)}, shutdown_grace=60.0) as served:
        body = chat("long") | {"stream": False}
        client = open_stream(served.url + CHAT, body, receive_buffer=4096)
        served.stop()
        for _ in range(15):
            time.sleep(0.1)  # a slow reader: longer than the last words, with no long pause
            client.socket.recv(20_000)
        taken = 0
        while received := client.socket.recv(1_000_000):
            taken += len(received)
        assert taken > 11_000_000
        client.close()
        served.join()


def test_who_takes_none_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchpad.server.graceful.LAST_WORDS", 0.5)
    with Served({"long": chain(Long)}, shutdown_grace=600.0, send_timeout=600.0) as served:
        body = chat("long") | {"stream": False}
        client = open_stream(served.url + CHAT, body, receive_buffer=4096)
        served.stop()
        served.join()
        client.close()


def test_health_says_so_while_it_lasts(upstream: ScriptedUpstream) -> None:
    """In a server that still listens: behind workers, or one that is not ours."""
    upstream.script(Repeat("t{i} ", pace=0.01))
    with Served(FLOWS, heartbeat=0.0, shutdown_grace=60.0) as served:
        stream = served.post(chat("talk"))

        async def begin() -> None:
            served.runs.begin_shutdown()

        served.call(begin)
        eventually(lambda: served.runs.closing, "the shutdown's beginning")
        answer = httpx.get(f"{served.url}/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "shutting down"})
        refusal = httpx.post(served.url + CHAT, json=chat("talk"))
        assert refusal.status_code == 503
        assert refusal.json()["error"]["code"] == "run_cancelled"
        stream.close()


@pytest.mark.parametrize("foreign", [True, False])
def test_an_app_can_be_started_again(upstream: ScriptedUpstream, foreign: bool) -> None:
    first = Served(FLOWS, foreign=foreign)
    upstream.script_all(Chunk("hello"))
    with first:
        assert httpx.post(first.url + CHAT, json=chat("talk")).status_code == 200
    second = Served(FLOWS, foreign=foreign)
    second.server.config.app = first.app
    second.runs = first.runs
    with second:
        assert httpx.post(second.url + CHAT, json=chat("talk")).status_code == 200


def test_a_plain_uvicorn_with_our_protocol_drains_too(upstream: ScriptedUpstream) -> None:
    """`uvicorn.run(create_app(…), http="launchpad.server.protocol:LaunchpadProtocol")`."""
    import uvicorn

    upstream.script(Repeat("t{i} ", pace=0.01))
    served = Served(FLOWS, heartbeat=0.0, shutdown_grace=0.2)
    served.server = uvicorn.Server(served.server.config)
    with served:
        stream = served.post(chat("talk"))
        began = time.monotonic()
        served.stop()
        assert "shutting down" in stream.read_all()[-1].data
        served.join()
        assert time.monotonic() - began < 20, "uvicorn alone would wait for the stream's own end"
        stream.close()
