"""An upstream that misbehaves, seen from the client's end: status or error event, words kept.

Whoever reads it: ourselves (`talk`, `direct`), Anthropic's SDK (`claude`), LangChain (`chain`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from launchpad.observe.metrics import metrics
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import (
    Chunk,
    Delay,
    Die,
    Done,
    DuplicateToolIndices,
    ErrorEvent,
    Garbage,
    HalfEvent,
    Hang,
    Head,
    HugeEvent,
    NoFinish,
    OtherHalf,
    Raw,
    Refuse,
    Repeat,
    Status,
    Step,
)

from .flows import FLOWS, seen
from .harness import CHAT, Served, chat, eventually
from .other_readers import OTHER_READERS

OURS = ["talk", "direct"]
OTHERS = ["claude", "chain"]
MODELS = [*OURS, *OTHERS]
ALL = FLOWS | OTHER_READERS


@pytest.fixture(scope="module")
def running(shared_upstream: ScriptedUpstream) -> Iterator[Served]:
    with (
        pytest.MonkeyPatch.context() as environment,
        Served(ALL, heartbeat=0.0, first_token_timeout=0.35, stall_timeout=0.2) as server,
    ):
        environment.setenv("ANTHROPIC_BASE_URL", shared_upstream.url)
        environment.setenv("ANTHROPIC_API_KEY", "any")
        for model in OTHERS:
            # Their SDKs import half of themselves in their first request.
            eventually(lambda: hear(server, model, stream=True).done, model)  # noqa: B023
        yield server


@pytest.fixture
def served(running: Served, upstream: ScriptedUpstream) -> Iterator[Served]:
    before = running.counts()
    yield running
    eventually(lambda: seen.cleaned == seen.entered, "clean-up of every node")
    eventually(lambda: running.counts() <= before, "nothing left", at_fault=running.tasks)


@dataclass(frozen=True)
class Heard:
    """What a client got: the words, and the error with its status (200: it was an event)."""

    words: str
    status: int
    error: dict[str, Any] | None
    done: bool


def hear(served: Served, model: str, *, stream: bool) -> Heard:
    body = chat(model) | {"stream": stream}
    if not stream:
        answer = httpx.post(served.url + CHAT, json=body, timeout=30)
        whole = answer.json()
        if answer.status_code != 200:
            return Heard("", answer.status_code, whole["error"], done=False)
        return Heard(whole["choices"][0]["message"]["content"], 200, None, done=True)
    with served.post(body) as client:
        if client.status != 200:
            return Heard("", client.status, json.loads(client.read_body())["error"], done=False)
        events = [event.data for event in client.read_all()]
        assert client.ended == "complete"
    done = events[-1] == "[DONE]"
    chunks = [json.loads(one) for one in events[: -1 if done else None]]
    error = chunks.pop()["error"] if not done else None
    return Heard(
        "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks),
        client.status,
        error,
        done,
    )


EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
JSON = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    b'{"error": {"message": "overload"}'
)
BEFORE: dict[str, tuple[Sequence[Step], int, str]] = {
    "401": ([Status(401)], 502, "upstream_authentication"),
    "403": ([Status(403)], 502, "upstream_authentication"),
    "429": ([Status(429, {"Retry-After": "7"})], 429, "rate_limit_exceeded"),
    "500": ([Status(500)], 502, "upstream_error"),
    "503": ([Status(503, {"Retry-After": "3"})], 502, "upstream_error"),
    "an error event at once": ([ErrorEvent("no")], 502, "upstream_error"),
    "a reset before the head": ([Die()], 502, "upstream_error"),
    "a close before the head": ([Die(reset=False)], 502, "upstream_error"),
    "a reset after the head": ([Head(), Die()], 502, "upstream_"),
    "an empty stream": ([Head(), NoFinish()], 502, "upstream_cut"),
    "an empty body": ([Raw(EMPTY, framed=False), Die(reset=False)], 502, "upstream_"),
    "JSON instead": ([Raw(JSON, framed=False), Die(reset=False)], 502, "upstream_"),
    "an end mark alone": ([Done()], 502, "upstream_"),
    "garbage": ([Garbage(), Done()], 502, "upstream_error"),
    "no HTTP at all": ([Raw(b"220 mail.example ESMTP\r\n", framed=False), Die()], 502, "upstream_"),
    "silence before the head": ([Hang()], 504, "upstream_timeout"),
    "silence after the head": ([Head(), Hang()], 504, "upstream_timeout"),
    "comments only": (
        [Head(), *[Raw(b": still here\n\n")] * 3, Hang()],
        504,
        "upstream_timeout",
    ),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", BEFORE)
def test_before_the_first_content_it_is_a_status(
    served: Served, upstream: ScriptedUpstream, case: str, model: str, stream: bool
) -> None:
    steps, status, code = BEFORE[case]
    upstream.script_all(*steps)
    heard = hear(served, model, stream=stream)
    assert heard.error is not None
    assert heard.status == status
    assert heard.error["code"].startswith(code)
    assert "scripted" not in json.dumps(heard.error), "the upstream's own words stay here"


AFTER: dict[str, tuple[Sequence[Step], str, str]] = {
    "a reset": ([Die()], "", "upstream_"),
    "a close": ([Die(reset=False)], "", "upstream_"),
    "no finish": ([NoFinish()], "", "upstream_cut"),
    "half an event": ([HalfEvent("lost"), Die(reset=False)], "", "upstream_"),
    "half an event, and a proper end": ([HalfEvent("lost"), NoFinish()], "", "upstream_cut"),
    "garbage": ([Garbage(), Done()], "", "upstream_error"),
    "an error event": ([ErrorEvent("no", "overloaded_error")], "", "upstream_error"),
    "a stall": ([Hang()], "", "upstream_timeout"),
    "comments for ever": ([*[Raw(b": ping\n\n")] * 3, Hang()], "", "upstream_timeout"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", AFTER)
def test_after_it_what_had_streamed_stays(
    served: Served, upstream: ScriptedUpstream, case: str, model: str
) -> None:
    steps, more, code = AFTER[case]
    upstream.script_all(Chunk("one "), Chunk("two "), *steps)
    heard = hear(served, model, stream=True)
    assert heard.words == "one two " + more
    assert heard.status == 200
    assert not heard.done
    assert heard.error is not None
    assert heard.error["code"].startswith(code)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", AFTER)
def test_collected_it_is_a_status_again(
    served: Served, upstream: ScriptedUpstream, case: str, model: str
) -> None:
    steps, _, code = AFTER[case]
    upstream.script_all(Chunk("one "), Chunk("two "), *steps)
    heard = hear(served, model, stream=False)
    assert heard.status in {502, 504}
    assert heard.error is not None
    assert heard.error["code"].startswith(code)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_an_event_cut_in_two_is_one(
    served: Served, upstream: ScriptedUpstream, model: str, stream: bool
) -> None:
    upstream.script(Chunk("one "), HalfEvent("two "), OtherHalf(), Chunk("three"))
    heard = hear(served, model, stream=stream)
    assert (heard.words, heard.done) == ("one two three", True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", OURS)
def test_an_event_of_5_megabytes(monkeypatch: pytest.MonkeyPatch, model: str, stream: bool) -> None:
    # One with ordinary buffers: in small pieces it takes seconds.
    with ScriptedUpstream() as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
        upstream.script(HugeEvent(5 * 1024 * 1024))
        with Served(FLOWS, heartbeat=0.0) as served:
            heard = hear(served, model, stream=stream)
    assert heard.error is None
    assert heard.words == "x" * 5 * 1024 * 1024


def test_no_line_of_ours_is_longer_than_64_kib(served: Served, upstream: ScriptedUpstream) -> None:
    upstream.script(HugeEvent(1024 * 1024))
    with served.post(chat("direct")) as client:
        client.read_all()
        assert client.ended == "complete"
        assert max(map(len, bytes(client.body).split(b"\n"))) <= 64 * 1024


def test_tool_calls_that_share_an_index_come_apart(
    served: Served, upstream: ScriptedUpstream
) -> None:
    upstream.script(DuplicateToolIndices("first_tool", "second_tool"))
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("first_tool", "second_tool")
    ]
    body = chat("direct") | {"stream": False, "tools": tools}
    answer = httpx.post(served.url + CHAT, json=body, timeout=30).json()
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["first_tool", "second_tool"]
    assert len({call["id"] for call in calls}) == 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_nobody_listens_and_then_somebody_does(
    served: Served, upstream: ScriptedUpstream, model: str, stream: bool
) -> None:
    upstream.script(Refuse())
    assert hear(served, model, stream=stream).status == 502
    heard = hear(served, model, stream=stream)
    assert heard.status == 502
    assert heard.error is not None
    assert str(upstream.port) not in heard.error["message"]
    upstream.accept()
    upstream.script(Chunk("back"))
    assert hear(served, model, stream=stream).words == "back"


def test_our_heartbeats_are_no_progress(upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk("one "), Hang())
    with Served(FLOWS, heartbeat=0.02, stall_timeout=0.4) as served:
        with served.post(chat("talk")) as client:
            events = client.read_all()
        assert "upstream_timeout" in events[-1].data
        assert len(client.comments) > 3


@pytest.mark.parametrize("model", ["talk", *OTHERS])
def test_the_two_timeouts_are_apart(
    running: Served, upstream: ScriptedUpstream, model: str
) -> None:
    upstream.script_all(Chunk("one "), Repeat("t ", 2, pace=0.6))
    with Served(ALL, heartbeat=0.0, first_token_timeout=0.5, stall_timeout=30.0) as served:
        assert hear(served, model, stream=True).done
    with Served(ALL, heartbeat=0.0, first_token_timeout=30.0, stall_timeout=0.25) as served:
        heard = hear(served, model, stream=True)
    assert heard.error is not None
    assert "paused for more than 0.25 s" in heard.error["message"]


@pytest.mark.parametrize("model", MODELS)
def test_a_timeout_closes_the_upstreams_connection(
    served: Served, upstream: ScriptedUpstream, model: str
) -> None:
    upstream.script(Chunk("one "), Hang())
    heard = hear(served, model, stream=True)
    assert heard.error is not None
    upstream.wait_idle()
    assert upstream.requests[-1].outcome == "left"


PING = Raw(b'event: ping\ndata: {"type": "ping"}\n\n')


@pytest.mark.parametrize("said", [[], [Chunk("one ")]], ids=["before", "after"])
def test_anthropics_pings_are_no_progress(
    served: Served, upstream: ScriptedUpstream, said: list[Step]
) -> None:
    # They end, and the answer would with them.
    upstream.script(Head(), *said, *[PING, Delay(0.05)] * 200)
    heard = hear(served, "claude", stream=True)
    assert heard.words == "one " * len(said)
    assert heard.error is not None
    assert heard.error["code"] == "upstream_timeout"


def test_an_answer_in_one_piece_may_take_as_long_as_both(
    served: Served, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk("all at once"))
    assert hear(served, "whole", stream=False).words == "all at once"
    upstream.script(Hang())
    heard = hear(served, "whole", stream=False)
    assert heard.status == 504
    assert heard.error is not None
    assert heard.error["code"] == "upstream_timeout"
    assert "no answer within 0.55 s" in heard.error["message"]
    upstream.wait_idle()
    assert upstream.requests[-1].outcome == "left"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", [*OURS, "chain"])
def test_the_parameter_that_was_rejected_is_named(
    served: Served, upstream: ScriptedUpstream, model: str, stream: bool
) -> None:
    said = {"message": "too many", "type": "invalid_request_error", "param": "messages"}
    upstream.script(Status(400, body=json.dumps({"error": said | {"code": "x_limit"}}).encode()))
    heard = hear(served, model, stream=stream)
    assert heard.status == 400
    assert heard.error is not None
    assert (heard.error["param"], heard.error["code"]) == ("messages", "x_limit")


def test_it_is_counted(served: Served, upstream: ScriptedUpstream) -> None:
    def counted() -> dict[str, float]:
        series = metrics.snapshot()["launchpad_upstream_errors_total"]
        ours = [(dict(labels), count) for labels, count in series.items()]
        return {said["code"]: count for said, count in ours if said["provider"] == "openai"}

    before = counted()
    upstream.script(Status(429))
    hear(served, "talk", stream=True)
    name = "rate_limit_exceeded"
    assert counted()[name] == before.get(name, 0) + 1
