"""A client that leaves, at every moment at which it can."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import Stream, open_stream
from launchpad.testing.steps import Chunk, Delay, Hang, Head, Repeat, WaitFor

from .flows import FLOWS, seen
from .harness import CHAT, Counts, Served, chat, eventually, kept_objects, open_files

ALL_STREAMING = ["talk", "direct", "both"]


@pytest.fixture(scope="module", params=["launchpad", "uvicorn"])
def served(request: pytest.FixtureRequest, shared_upstream: ScriptedUpstream) -> Iterator[Served]:
    """Our own server, and a plain uvicorn: leaving is noticed in both."""
    with Served(FLOWS, foreign=request.param == "uvicorn", heartbeat=0.0) as running:
        yield running


def nothing_is_left(served: Served, before: Counts) -> None:
    """Every node was cleaned up, and no task, connection, run or place in the queue is left."""
    eventually(lambda: seen.cleaned == seen.entered, "clean-up of every node")
    eventually(lambda: served.counts() <= before, f"{before} again", at_fault=served.tasks)


def leave(stream: Stream, how: str) -> None:
    stream.abort() if how == "reset" else stream.close()


def ask(served: Served, model: str, *, stream: bool = True) -> Stream:
    body = chat(model) | {"stream": stream}
    return open_stream(served.url + CHAT, body, wait_head=False)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("model", ["talk", "direct", "both", "ask"])
@pytest.mark.parametrize("stream", [True, False])
def test_before_the_first_token(
    served: Served, upstream: ScriptedUpstream, model: str, how: str, stream: bool
) -> None:
    before = served.counts()
    upstream.script_all(Head(), Hang())
    client = ask(served, model, stream=stream)
    requests = upstream.wait_requests(2 if model == "both" else 1)
    leave(client, how)
    for request in requests:
        request.wait_disconnected()
    nothing_is_left(served, before)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("model", ALL_STREAMING)
def test_mid_stream(served: Served, upstream: ScriptedUpstream, model: str, how: str) -> None:
    before = served.counts()
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    client = served.post(chat(model))
    for _ in range(5):
        assert client.next_event() is not None
    leave(client, how)
    for request in upstream.requests:
        request.wait_disconnected()
    nothing_is_left(served, before)


@pytest.mark.parametrize("model", ALL_STREAMING)
def test_while_an_answer_is_collected(
    served: Served, upstream: ScriptedUpstream, model: str
) -> None:
    before = served.counts()
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    client = ask(served, model, stream=False)
    requests = upstream.wait_requests(2 if model == "both" else 1)
    eventually(lambda: requests[0].tokens_sent > 5, "some tokens")
    client.close()
    for request in requests:
        request.wait_disconnected()
    nothing_is_left(served, before)


@pytest.mark.parametrize("stream", [True, False])
def test_while_the_upstream_accepts(
    served: Served, upstream: ScriptedUpstream, stream: bool
) -> None:
    before = served.counts()
    upstream.script(Hang())  # not even a head comes
    client = ask(served, "talk", stream=stream)
    (request,) = upstream.wait_requests()
    client.close()
    request.wait_disconnected()
    nothing_is_left(served, before)


@pytest.mark.parametrize("model", ["start", "second"])
@pytest.mark.parametrize("stream", [True, False])
def test_during_a_nodes_start(served: Served, model: str, stream: bool) -> None:
    before = served.counts()
    client = ask(served, model, stream=stream)
    eventually(lambda: seen.entered["Prepare"] == 1, "the node's start")
    client.close()
    nothing_is_left(served, before)
    assert "Talk" not in seen.entered


def test_while_a_nodes_thread_works(served: Served) -> None:
    before = served.counts()
    client = ask(served, "threaded")
    eventually(lambda: seen.entered["Threaded"] == 1, "the node's start")
    client.close()
    # A thread cannot be ended; the run does not wait for it.
    nothing_is_left(served, before)
    assert not seen.hold.is_set()
    seen.hold.set()


def half_a_request(served: Served, text: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", served.port))
    client.sendall(text)
    return client


@pytest.mark.parametrize(
    "text",
    [
        b"POST /v1/chat/com",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-le",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n{",
    ],
    ids=["request line", "headers", "body"],
)
def test_before_the_request_is_complete(served: Served, text: bytes) -> None:
    before = served.counts()
    client = half_a_request(served, text)
    eventually(lambda: served.counts() != before, "the connection")
    client.close()
    nothing_is_left(served, before)
    assert not seen.entered


def test_right_after_the_request(served: Served, upstream: ScriptedUpstream) -> None:
    before = served.counts()
    upstream.script_all(Delay(0.01), Repeat("t{i} ", pace=0.01))
    for _ in range(20):
        ask(served, "talk").abort()
    nothing_is_left(served, before)
    upstream.wait_idle()


def test_between_two_nodes_tokens(served: Served, upstream: ScriptedUpstream) -> None:
    """The first node's stream is over and closed; the second's is cut."""
    before = served.counts()
    gate = Gate()
    upstream.script_all(Chunk("one"), WaitFor(gate), Chunk("two"))
    client = served.post(chat("both"))
    assert client.next_event() is not None
    gate.wait_reached(2)
    client.close()
    for request in upstream.requests:
        request.wait_disconnected()
    nothing_is_left(served, before)


@pytest.mark.parametrize("stream", [True, False])
def test_in_the_queue(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    with Served(FLOWS, max_concurrent_runs=1, heartbeat=0.0) as served:
        before = served.counts()
        first = served.post(chat("talk"))
        second = ask(served, "talk", stream=stream)
        eventually(lambda: served.runs.queued == 1, "a run in the queue")
        second.close()
        eventually(lambda: served.runs.queued == 0, "an empty queue")
        assert first.next_event() is not None, "the one with a place goes on"
        assert len(upstream.requests) == 1
        first.close()
        nothing_is_left(served, before)


def test_a_half_closed_connection_counts_as_gone(
    served: Served, upstream: ScriptedUpstream
) -> None:
    """uvicorn takes a FIN for the end, so a client keeps its side open while it reads."""
    before = served.counts()
    upstream.script(Repeat("t{i} ", pace=0.01))
    client = served.post(chat("talk"))
    client.socket.shutdown(socket.SHUT_WR)
    upstream.requests[0].wait_disconnected()
    nothing_is_left(served, before)
    client.close()


def moments() -> list[Callable[[Stream, random.Random], None]]:
    """Ways to be a client that leaves."""

    def at_once(stream: Stream, dice: random.Random) -> None:
        del stream, dice

    def after_the_head(stream: Stream, dice: random.Random) -> None:
        del dice
        stream.read_head()

    def after_some_tokens(stream: Stream, dice: random.Random) -> None:
        stream.read_head()
        for _ in range(dice.randrange(1, 8)):
            stream.next_event()

    return [at_once, after_the_head, after_some_tokens, after_some_tokens]


@pytest.mark.parametrize("number", [1000])
def test_a_thousand_that_leave_at_random(upstream: ScriptedUpstream, number: int) -> None:
    upstream.script_all(Delay(0.005), Repeat("t{i} ", pace=0.002))
    ways = moments()
    with Served(FLOWS, heartbeat=0.01, max_queued_runs=number) as served:

        def visit(seed: int) -> None:
            dice = random.Random(seed)
            model = dice.choice(["talk", "direct", "both", "ask", "start"])
            streamed = dice.random() < 0.7
            stream = ask(served, model, stream=streamed)
            try:
                if streamed and model in ALL_STREAMING:
                    dice.choice(ways)(stream, dice)
            finally:
                leave(stream, dice.choice(["close", "reset"]))

        empty = served.counts()

        def files_when_settled() -> int:
            eventually(lambda: seen.cleaned == seen.entered, "clean-up of every node", 60)
            upstream.wait_idle(30)
            eventually(lambda: served.counts() <= empty, f"{empty} again", at_fault=served.tasks)
            return open_files() - upstream.open_connections

        with ThreadPoolExecutor(16) as clients:
            list(clients.map(visit, range(50)))
            before = files_when_settled()
            list(clients.map(visit, range(50, number)))
            # A kept-alive connection or two may be on its way out.
            eventually(lambda: files_when_settled() <= before, f"{before} open files again")
        eventually(lambda: kept_objects() == 0, "no object of a run in memory")
    assert all(request.outcome in {"left", "complete"} for request in upstream.requests)
