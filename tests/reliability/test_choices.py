"""`n` answers to one request, of which one fails: its status, and the others' end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Chunk, ErrorEvent, Hang, Head, Repeat, Status, WaitFor

from .flows import FLOWS, seen
from .harness import CHAT, Served, chat, eventually

MODELS = ["talk", "direct"]


@pytest.fixture
def served(upstream: ScriptedUpstream) -> Iterator[Served]:
    with Served(FLOWS, heartbeat=0.0) as running:
        before = running.counts()
        yield running
        eventually(lambda: seen.cleaned == seen.entered, "clean-up of every node")
        eventually(lambda: running.counts() <= before, "nothing left", at_fault=running.tasks)


def asked(model: str, **fields: Any) -> dict[str, Any]:
    return chat(model, n=3, **fields)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_a_failure_before_the_content_is_the_answer_s_status(
    served: Served, upstream: ScriptedUpstream, model: str, stream: bool
) -> None:
    fail = Gate()
    upstream.script(Head(), Hang())
    upstream.script(Head(), Hang())
    upstream.script(WaitFor(fail), Status(429, {"Retry-After": "7"}))
    body = asked(model) | {"stream": stream}
    with ThreadPoolExecutor() as pool:
        answering = pool.submit(httpx.post, served.url + CHAT, json=body, timeout=30)
        requests = upstream.wait_requests(3)
        fail.open()
        answer = answering.result()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    for request in requests[:2]:
        request.wait_disconnected()


@pytest.mark.parametrize("model", MODELS)
def test_a_failure_after_the_content_is_the_stream_s_last_event(
    served: Served, upstream: ScriptedUpstream, model: str
) -> None:
    fail = Gate()
    upstream.script(Repeat("t{i} ", pace=0.01))
    upstream.script(Repeat("t{i} ", pace=0.01))
    upstream.script(Chunk("one"), WaitFor(fail), ErrorEvent("no"))
    with served.post(asked(model)) as client:
        while (event := client.next_event()) is not None and '"one"' not in event.data:
            assert "error" not in event.data
        fail.open()
        events = [event.data for event in client.read_all()]
        assert client.ended == "complete"
    assert json.loads(events[-1])["error"]["code"] == "upstream_error"
    eventually(lambda: [one.outcome for one in upstream.requests].count("left") == 2, "their end")
