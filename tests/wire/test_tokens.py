import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.runs import batches, chunks, node, run_of, runs

from launchpad.errors import OutputError
from launchpad.events import (
    JsonDelta,
    NodeStarted,
    ReasoningDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    Usage,
)
from launchpad.sse.frame import MAX_LINE
from launchpad.wire.tokens import BareTokenEncoder, TokenEncoder, TokenMetaEncoder

RUN = run_of(*node("A", TextDelta("A", "Hello"), TextDelta("A", " you")))


def test_the_stream_is_byte_for_byte_the_documented_one():
    assert TokenEncoder().encode(RUN) == (
        b'data: {"token": "Hello", "done": false}\n\n'
        b'data: {"token": " you", "done": false}\n\n'
        b'data: {"token": "", "done": true}\n\n'
    )


def test_the_stream_with_metadata_is_the_documented_one():
    ticks = iter([1.0, 1.8124])
    encoder = TokenMetaEncoder("gpt-4o-mini", clock=lambda: next(ticks))
    assert encoder.encode(RUN) == (
        b'data: {"event": "start", "model": "gpt-4o-mini"}\n\n'
        b'data: {"event": "token", "token": "Hello"}\n\n'
        b'data: {"event": "token", "token": " you"}\n\n'
        b'data: {"event": "done", "tokens": 2, "latency_ms": 812.0}\n\n'
    )


def test_the_bare_stream_is_the_documented_one():
    assert BareTokenEncoder().encode(RUN) == (
        b'data: {"token": "Hello"}\n\ndata: {"token": " you"}\n\ndata: {"done": true}\n\n'
    )
    failure = BareTokenEncoder().encode([RunFailed("It broke.")])
    assert failure == b'data: {"error": "It broke.", "done": true}\n\n'


@pytest.mark.parametrize("ids", [True, False])
def test_a_start_that_was_sent_ahead_is_not_sent_again(ids: bool):
    ahead, usual = (TokenMetaEncoder("m", ids=ids, clock=lambda: 1.0) for _ in range(2))
    assert ahead.greeting() + ahead.greeting() + ahead.encode(RUN) == usual.encode(RUN)


def test_the_start_leaves_before_any_node_speaks():
    encoder = TokenMetaEncoder()
    assert chunks(encoder.encode([RunStarted("r", "W", None)]))[0]["event"] == "start"


def test_the_upstreams_token_count_wins():
    run = [*RUN[:-1], RunFinished("stop", Usage(3, 17))]
    assert chunks(TokenMetaEncoder().encode(run))[-1]["tokens"] == 17


def test_a_failure_is_the_documented_event():
    failure = RunFailed("It broke.")
    plain, meta = TokenEncoder(), TokenMetaEncoder()
    assert plain.failure(failure) is None
    assert meta.failure(failure) is None
    assert plain.encode([failure]) == b'data: {"error": "It broke.", "done": true}\n\n'
    assert meta.encode([failure]) == b'data: {"event": "error", "message": "It broke."}\n\n'
    assert plain.encode(RUN) == b""
    assert plain.ended


def test_ids_count_the_frames():
    lines = TokenMetaEncoder(ids=True).encode(RUN).split(b"\n")
    assert [line for line in lines if line.startswith(b"id:")] == [
        b"id: 1",
        b"id: 2",
        b"id: 3",
        b"id: 4",
    ]


def test_json_is_told_and_reasoning_is_not():
    run = run_of(
        *node("A", ReasoningDelta("A", "hm"), ReasoningDelta("A", "m"), JsonDelta("A", "{}"))
    )
    assert [c["token"] for c in chunks(TokenEncoder().encode(run))] == ["{}", ""]


def test_a_pair_that_the_upstream_cut_arrives_whole():
    words = [TextDelta("A", word) for word in ("h", "a\ud83d", "\ude00b", "\ud83d")]
    objects: list[dict[str, Any]] = chunks(TokenEncoder().encode(run_of(*node("A", *words))))
    assert [each["token"] for each in objects] == ["h", "a", "😀b", "\ufffd", ""]


def test_no_line_is_too_long():
    data = TokenEncoder().encode(run_of(*node("A", TextDelta("A", "\n" * 100_000))))
    assert max(map(len, data.split(b"\n"))) <= MAX_LINE
    assert "".join([c["token"] for c in chunks(data)]) == "\n" * 100_000


def test_what_was_told_before_an_overflow_still_leaves():
    encoder = TokenEncoder(hold_limit=200)
    run = [NodeStarted("A"), TextDelta("A", "a"), NodeStarted("B"), TextDelta("B", "b" * 300)]
    with pytest.raises(OutputError):
        encoder.encode(run)
    tokens: list[dict[str, Any]] = chunks(encoder.encode([RunFailed("too much")]))
    assert tokens == [{"token": "a", "done": False}, {"error": "too much", "done": True}]


@given(st.data(), runs())
def test_batches_make_no_difference(data: st.DataObject, events: list[RunEvent]):
    whole, cut = TokenEncoder(ids=True), TokenEncoder(ids=True)
    pieces = [cut.encode(batch) for batch in data.draw(batches(events))]
    assert b"".join(pieces) == whole.encode(events)


@given(runs())
def test_tokens_concatenate_to_what_was_said(events: list[RunEvent]):
    payloads = TokenEncoder().encode(events).split(b"\n\n")[:-1]
    objects = [json.loads(payload.removeprefix(b"data: ")) for payload in payloads]
    assert [o["done"] for o in objects] == [False] * (len(objects) - 1) + [True]
