"""Each fault, as it arrives at the client's socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI

from launchpad.testing import Gate, ScriptedUpstream, Stream, open_stream
from launchpad.testing.steps import (
    Answer,
    Chunk,
    Delay,
    Die,
    Done,
    DuplicateToolIndices,
    ErrorEvent,
    Event,
    Finish,
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
    Step,
    UsageStep,
    WaitFor,
)


def chat(upstream: ScriptedUpstream, *steps: Step, **options: Any) -> Stream:
    if steps:
        upstream.script(*steps)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi there"}], "stream": True}
    options = {"timeout": 10.0, **options}
    return open_stream(f"{upstream.base_url}/chat/completions", body, **options)


def texts(stream: Stream) -> Iterator[str]:
    for event in stream:
        if event.data == "[DONE]":
            continue
        payload: Any = event.json()
        for choice in payload["choices"]:
            if choice["delta"].get("content"):
                yield choice["delta"]["content"]


def test_a_script_is_ended_properly(upstream: ScriptedUpstream) -> None:
    with chat(upstream, Chunk("a"), Chunk("b")) as stream:
        events = stream.read_all()
    assert stream.ended == "complete"
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [len(event.raw) > 0 for event in events] == [True] * 5
    assert events[-1].data == "[DONE]"
    assert '"finish_reason":"stop"' in events[-2].data


def test_gate_shows_the_order_without_a_clock(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    with chat(upstream, Chunk("one"), WaitFor(gate), Chunk("two")) as stream:
        words = texts(stream)
        assert next(words) == "one"
        gate.wait_reached()
        assert upstream.requests[0].tokens_sent == 1
        assert not stream.has_bytes()
        assert upstream.open_streams == 1
        gate.open()
        assert list(words) == ["two"]
    assert upstream.requests[0].wait_ended() == "complete"


def test_gate_before_the_head_and_after_it(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    with chat(upstream, WaitFor(gate), Chunk("x"), wait_head=False) as stream:
        gate.wait_reached()
        assert not stream.has_bytes()
        gate.open()
        stream.read_head()
        assert list(texts(stream)) == ["x"]
    later = Gate()
    with chat(upstream, Head(), WaitFor(later), Chunk("x")) as stream:
        later.wait_reached()
        assert stream.status == 200
        assert not stream.has_bytes()
        later.open()
        assert list(texts(stream)) == ["x"]


def test_hang_ends_when_the_client_leaves(upstream: ScriptedUpstream) -> None:
    for leave in (Stream.close, Stream.abort):
        stream = chat(upstream, Chunk("one"), Hang())
        assert next(texts(stream)) == "one"
        request = upstream.requests[-1]
        assert request.outcome == "answering"
        leave(stream)
        assert request.wait_disconnected() > request.received_at
        assert request.connection.closed_by_peer
    upstream.wait_closed()
    assert upstream.open_streams == upstream.open_connections == 0


def test_waiting_for_a_disconnect_that_was_none(upstream: ScriptedUpstream) -> None:
    with chat(upstream) as stream:
        stream.read_all()
    with pytest.raises(AssertionError, match="did not leave"):
        upstream.requests[0].wait_disconnected()


def test_die_resets_or_closes_in_the_midst(upstream: ScriptedUpstream) -> None:
    with chat(upstream, Chunk("one"), Die()) as stream:
        assert list(texts(stream)) == ["one"]
    assert stream.ended == "reset"
    with chat(upstream, Chunk("one"), Die(reset=False)) as stream:
        assert list(texts(stream)) == ["one"]
    assert stream.ended == "cut"
    assert [request.outcome for request in upstream.requests] == ["dropped"] * 2
    with pytest.raises(ConnectionError, match="reset"):
        chat(upstream, Die())


def test_refuse_and_accept_again(upstream: ScriptedUpstream) -> None:
    with pytest.raises(ConnectionError):
        chat(upstream, Refuse())
    with pytest.raises(ConnectionRefusedError):
        chat(upstream)
    upstream.accept()
    with chat(upstream) as stream:
        assert "".join(texts(stream)) == "hi there"
        upstream.refuse()
        with pytest.raises(ConnectionRefusedError):
            chat(upstream)


def test_garbage_and_raw_bytes(upstream: ScriptedUpstream) -> None:
    with chat(upstream, Chunk("a"), Garbage(), Chunk("b")) as stream:
        events = stream.read_all()
    assert Garbage().data in bytes(stream.body)
    assert sum(event.data == "{not json}" for event in events) == 1
    with chat(upstream, Raw(b": hello\n\nretry: 5\ndata: x\n\n"), Done()) as stream:
        assert [event.data for event in stream] == ["x", "[DONE]"]
    assert (stream.comments[0].comment, stream.parser.retry) == ("hello", 5)
    with pytest.raises(Exception, match="Expected HTTP"):
        chat(upstream, Raw(b"SSH-2.0-Nonsense\r\n", framed=False), Die(reset=False))


def test_half_an_event_and_its_other_half(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    with chat(upstream, HalfEvent("whole"), WaitFor(gate), OtherHalf()) as stream:
        gate.wait_reached()
        assert stream.next_event() is not None  # the role
        assert not stream.has_bytes()
        assert stream.parser.pending.startswith(b"data: {")
        gate.open()
        assert list(texts(stream)) == ["whole"]
    with chat(upstream, Chunk("a"), HalfEvent("lost")) as stream:
        assert list(texts(stream)) == ["a"]
    assert stream.ended == "complete"
    assert stream.parser.pending


def test_huge_event(upstream: ScriptedUpstream) -> None:
    size = 5 * 1024 * 1024
    with chat(upstream, HugeEvent(size)) as stream:
        assert [len(text) for text in texts(stream)] == [size]


def test_no_finish(upstream: ScriptedUpstream) -> None:
    with chat(upstream, Chunk("a"), NoFinish()) as stream:
        events = stream.read_all()
    assert stream.ended == "complete"
    assert all('"finish_reason":null' in event.data for event in events)


def test_finish_and_usage_as_told(upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script(Chunk("a"), Finish("content_filter"), UsageStep(11, 22, 3))
    answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 33


def test_duplicate_tool_indices(upstream: ScriptedUpstream) -> None:
    with chat(upstream, DuplicateToolIndices()) as stream:
        payloads: list[Any] = [event.json() for event in stream if event.data != "[DONE]"]
    deltas = [payload["choices"][0]["delta"].get("tool_calls") for payload in payloads]
    calls = [delta[0] for delta in deltas if delta]
    assert [(call["index"], call["id"]) for call in calls] == [
        (0, "call_first"),
        (0, "call_second"),
    ]
    assert payloads[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_error_event_and_any_event(upstream: ScriptedUpstream, client: OpenAI) -> None:
    with chat(upstream, Chunk("a"), ErrorEvent("Broken.", code="x")) as stream:
        events = stream.read_all()
    assert events[-1].json() == {
        "error": {"message": "Broken.", "type": "server_error", "param": None, "code": "x"}
    }
    assert stream.ended == "complete"
    with chat(upstream, Event({"choices": [], "odd": True})) as stream:
        assert stream.read_all()[0].json() == {"choices": [], "odd": True}
    upstream.script(ErrorEvent("Broken."))
    response = httpx.post(
        f"{upstream.base_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "x"}]},
    )
    assert (response.status_code, response.json()["error"]["message"]) == (500, "Broken.")


def test_faults_without_streaming(upstream: ScriptedUpstream) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    url = f"{upstream.base_url}/chat/completions"
    upstream.script(Garbage(b"{oops"))
    with open_stream(url, body) as stream:
        assert stream.read_body() == b"{oops"
    assert stream.ended == "complete"
    gate = Gate()
    upstream.script(Chunk("late"), WaitFor(gate))
    with open_stream(url, body, wait_head=False) as stream:
        gate.wait_reached()
        assert not stream.has_bytes()
        gate.open()
        stream.read_head()
        assert b'"content":"late"' in stream.read_body()


def test_a_client_that_does_not_read_holds_the_upstream_up() -> None:
    with ScriptedUpstream(send_buffer=4096) as upstream:
        with chat(upstream, Repeat("token {i} "), receive_buffer=4096) as stream:
            request = upstream.requests[0]
            stalled = request.wait_blocked()
            assert 0 < stalled < 5000
            assert request.wait_blocked() == stalled
            words = texts(stream)
            read = [next(words) for _ in range(stalled + 1)]
            assert read == [f"token {number} " for number in range(stalled + 1)]
        assert request.wait_ended() == "left"


def test_an_endless_answer_to_a_fast_reader_ends_when_it_leaves(
    upstream: ScriptedUpstream,
) -> None:
    with chat(upstream, Repeat("x")) as stream, chat(upstream, Chunk("y")) as other:
        words = texts(stream)
        assert [next(words) for _ in range(2000)] == ["x"] * 2000
        assert list(texts(other)) == ["y"]
    assert upstream.requests[0].wait_ended() == "left"


def test_what_fails_in_the_upstream_is_raised_where_it_is_used() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

    def use() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script(Repeat("x"))
            with pytest.raises(ConnectionError):
                open_stream(f"{upstream.base_url}/chat/completions", body)

    with pytest.raises(ValueError, match="has no end"):
        use()


def test_repeat_and_answer_in_a_script(upstream: ScriptedUpstream) -> None:
    with chat(upstream, Delay(0.0), Repeat("{i};", 3, pace=0.001), Answer()) as stream:
        assert "".join(texts(stream)) == "0;1;2;hi there"
    assert upstream.tokens_sent == 5


def test_commands_for_faults(upstream: ScriptedUpstream) -> None:
    def said(command: str) -> Stream:
        body = {
            "model": "m",
            "stream": True,
            "messages": [{"role": "user", "content": f"{command}\none two three"}],
        }
        return open_stream(f"{upstream.base_url}/chat/completions", body)

    with said("!die 2") as stream:
        assert list(texts(stream)) == ["one", " two"]
    assert stream.ended == "reset"
    with said("!hang 1") as stream:
        assert next(texts(stream)) == "one"
        assert not stream.has_bytes()
    with said("!status 429") as stream:
        assert (stream.status, stream.headers["retry-after"]) == (429, "1")


def test_many_streams_at_once(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script_all(Chunk("a"), WaitFor(gate), Repeat("b", 20))
    streams = [chat(upstream) for _ in range(200)]
    gate.wait_reached(200)
    assert upstream.open_streams == 200
    gate.open()
    for stream in streams:
        assert "".join(texts(stream)) == "a" + "b" * 20
        stream.close()
    upstream.wait_idle()
    upstream.wait_closed()
    assert upstream.tokens_sent == 200 * 21


def test_stopping_the_upstream_cuts_open_streams() -> None:
    with ScriptedUpstream() as upstream:
        stream = chat(upstream, Chunk("a"), Hang())
    assert list(texts(stream)) == ["a"]
    assert stream.ended == "reset"
    stream.close()
    assert upstream.requests[0].outcome == "stopped"
    assert not [t for t in threading.enumerate() if t.name == "scripted-upstream"]


def test_a_taken_port_is_said(upstream: ScriptedUpstream) -> None:
    with pytest.raises(OSError, match="in use"), ScriptedUpstream(port=upstream.port):
        pass
