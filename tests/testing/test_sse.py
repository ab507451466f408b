from __future__ import annotations

import pytest

from launchpad.testing import Gate, ScriptedUpstream, open_stream, read_events
from launchpad.testing.steps import Chunk, Die, Hang, WaitFor


def body(text: str = "one two") -> dict[str, object]:
    return {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}


def test_read_events_gives_all_in_order_with_rising_times(upstream: ScriptedUpstream) -> None:
    events = read_events(f"{upstream.base_url}/chat/completions", body())
    assert events[-1].data == "[DONE]"
    times = [event.received_at for event in events]
    assert times == sorted(times)
    assert upstream.requests[0].headers["accept"] == "text/event-stream"


def test_read_events_wants_a_proper_end(upstream: ScriptedUpstream) -> None:
    upstream.script(Chunk("a"), Die(reset=False))
    with pytest.raises(ConnectionError, match="cut"):
        read_events(f"{upstream.base_url}/chat/completions", body())


def test_the_first_event_is_read_while_the_second_is_not_made(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("one"), WaitFor(gate), Chunk("two"))
    with open_stream(f"{upstream.base_url}/chat/completions", body()) as stream:
        role, one = stream.next_event(), stream.next_event()
        assert role is not None
        assert one is not None
        gate.wait_reached()
        gate.open()
        two = stream.next_event()
        assert two is not None
        assert two.received_at > one.received_at


def test_nothing_in_time_is_a_timeout_and_the_stream_goes_on(upstream: ScriptedUpstream) -> None:
    gate = Gate()
    upstream.script(Chunk("one"), WaitFor(gate))
    with open_stream(f"{upstream.base_url}/chat/completions", body()) as stream:
        stream.next_event()
        stream.next_event()
        with pytest.raises(TimeoutError):
            stream.next_event(timeout=0.05)
        gate.open()
        assert [event.data for event in stream][-1] == "[DONE]"


def test_get_and_plain_answers(upstream: ScriptedUpstream) -> None:
    with open_stream(f"{upstream.base_url}/models", headers={"X-Odd": "1"}) as stream:
        assert stream.status == 200
        assert b'"scripted"' in stream.read_body()
    assert stream.ended == "complete"
    assert upstream.requests[0].method == "GET"
    assert upstream.requests[0].headers["x-odd"] == "1"


def test_a_head_that_never_comes(upstream: ScriptedUpstream) -> None:
    upstream.script(Hang())
    with pytest.raises(TimeoutError):
        open_stream(f"{upstream.base_url}/chat/completions", body(), timeout=0.1)
    assert upstream.requests[0].wait_ended() == "left"


def test_only_plain_http() -> None:
    with pytest.raises(ValueError, match="plain http"):
        open_stream("https://example.com/")
