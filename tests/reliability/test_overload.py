"""More than the server takes: who is inside goes on, the rest gets a clean answer."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Repeat

from .flows import FLOWS, seen
from .harness import CHAT, Served, chat, eventually

TOKENS = 40


@pytest.fixture
def upstream(upstream: ScriptedUpstream) -> ScriptedUpstream:
    upstream.script_all(Repeat("t{i} ", TOKENS, pace=0.01))
    return upstream


def whole(events: list[str]) -> bool:
    """Whether a stream has every token, in order, and its end."""
    words = [
        json.loads(one)["choices"][0]["delta"].get("content", "")
        for one in events
        if one != "[DONE]"
    ]
    return "".join(words) == "".join(f"t{i} " for i in range(TOKENS)) and events[-1] == "[DONE]"


def test_five_times_too_many(upstream: ScriptedUpstream) -> None:
    limits = {"max_concurrent_runs": 8, "max_queued_runs": 8, "queue_timeout": 30.0}
    with Served(FLOWS, heartbeat=0.0, **limits) as served:
        before = served.counts()
        most = 0
        behind: list[int] = []

        def sent_for(number: int) -> int:
            """What the upstream has sent of the answer to this client."""
            mine = f'"client {number}"'.encode()
            return next(one.tokens_sent for one in upstream.requests if mine in one.raw)

        def visit(number: int) -> str:
            nonlocal most
            model = ("talk", "direct")[number % 2]
            with served.post(chat(model, f"client {number}"), timeout=60) as client:
                most = max(most, served.runs.active)
                if client.status == 200:
                    events: list[str] = []
                    while (event := client.next_event()) is not None:
                        events.append(event.data)
                        behind.append(sent_for(number) - len(events))
                    return "whole" if whole(events) else "lost"
                error = json.loads(client.read_body())["error"]
                assert int(client.headers["retry-after"]) >= 1
                assert error["code"] == "overloaded"
                return str(client.status)

        with ThreadPoolExecutor(80) as clients:
            outcomes = Counter(clients.map(visit, range(80)))
        assert outcomes.keys() <= {"whole", "503"}
        assert outcomes["whole"] >= 16, "eight at once and eight that waited"
        assert outcomes["503"] >= 1
        assert most <= 8
        assert max(behind) <= TOKENS // 4, "who is inside gets its tokens as they are made"
        eventually(lambda: served.counts() <= before, "nothing left", at_fault=served.tasks)
        metrics = httpx.get(f"{served.url}/metrics").text
    assert 'launchpad_runs_rejected_total{code="overloaded"}' in metrics
    assert len(upstream.requests) == outcomes["whole"]


def test_a_key_has_its_own_limit(upstream: ScriptedUpstream) -> None:
    keys = {"api_keys": "ann=secret-a,bob=secret-b", "max_concurrent_runs_per_key": 2}
    with Served(FLOWS, heartbeat=0.0, **keys) as served:

        def ask(key: str) -> int:
            headers = {"authorization": f"Bearer secret-{key}"}
            with served.post(chat("talk"), headers=headers, timeout=60) as client:
                if client.status == 200:
                    assert whole([one.data for one in client.read_all()])
                elif client.status == 429:
                    assert int(client.headers["retry-after"]) >= 1
                return client.status

        with ThreadPoolExecutor(20) as clients:
            anns = clients.map(ask, "a" * 16)
            bobs = clients.map(ask, "b" * 4)
            assert list(bobs) == [200, 200, 200, 200], "two run and two wait"
            counted = Counter(anns)
        assert counted.keys() == {200, 429}
        assert counted[200] >= 4


@pytest.fixture
def small(upstream: ScriptedUpstream) -> Iterator[Served]:
    limits = {"max_body_bytes": 2000, "max_messages": 3, "max_output_bytes": 3000}
    with Served(FLOWS, heartbeat=0.0, **limits) as running:
        yield running


def test_bodies_are_bounded_however_they_come(small: Served) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"model": "talk", "messages": [{"role": "user", "content": "'
        for _ in range(40):
            yield b"x" * 100

    for content in (b"".join(pieces()), pieces()):
        answer = httpx.post(small.url + CHAT, content=content, timeout=30)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
    messages = [{"role": "user", "content": "x"}] * 4
    answer = httpx.post(small.url + CHAT, json={"model": "talk", "messages": messages})
    assert answer.status_code == 413
    assert not seen.entered


def test_a_body_without_end_is_cut(small: Served) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        cut, deadline = False, time.monotonic() + 30
        while not cut and time.monotonic() < deadline:
            try:
                client.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
            except ConnectionError:
                cut = True
            time.sleep(0.001)
        assert cut
    eventually(lambda: small.counts().connections == 0, "the connection's end")


@pytest.mark.parametrize("model", ["talk", "direct"])
def test_answers_are_bounded(small: Served, upstream: ScriptedUpstream, model: str) -> None:
    upstream.script_all(Repeat("x" * 100, pace=0.01))
    with small.post(chat(model)) as client:
        events = client.read_all()
        assert client.ended == "complete"
    assert "xxx" in events[1].data, "what had streamed stays"
    assert json.loads(events[-1].data)["error"]["code"] == "output_too_large"
    assert "3,000 bytes" in events[-1].data
    words = [json.loads(one.data)["choices"][0]["delta"].get("content", "") for one in events[:-1]]
    assert 3000 <= len("".join(words)) <= 6000

    answer = httpx.post(small.url + CHAT, json=chat(model) | {"stream": False}, timeout=30)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "output_too_large"
    for request in upstream.requests:
        assert request.wait_ended() == "left"


@pytest.mark.parametrize("model", ["talk", "direct", "both", "start", "threaded"])
def test_a_run_is_bounded_in_time(upstream: ScriptedUpstream, model: str) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    seen.hold.clear()
    with Served(FLOWS, heartbeat=0.0, request_timeout=0.4) as served:
        before = served.counts()
        with served.post(chat(model)) as client:
            if client.status == 200:
                assert "run_timeout" in client.read_all()[-1].data
            else:
                assert client.status == 504
                assert b"run_timeout" in client.read_body()
        answer = httpx.post(served.url + CHAT, json=chat(model) | {"stream": False}, timeout=30)
        assert answer.status_code == 504
        eventually(lambda: seen.cleaned == seen.entered, "clean-up of every node")
        eventually(lambda: served.counts() <= before, "nothing left", at_fault=served.tasks)
        seen.hold.set()
