from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from launchpad.testing import ReceivedEvent, SSEParser

STREAM = (
    b"\xef\xbb\xbf: hello\ndata: one\n\n"
    b"event: named\r\ndata: two\r\ndata:three\r\nid: 7\r\n\r\n"
    b"data\rdata: \xc2\x85\xe2\x80\xa8x\r\r"
    b"retry: 250\n\nid: a\0b\ndata: four\nnonsense: 1\n\n"
    b": ping\n: pong\n\ndata: cut"
)
EXPECTED = [
    ("one", "", "message"),
    ("two\nthree", "7", "named"),
    ("\n\x85\u2028x", "7", "message"),
    ("four", "7", "message"),
]


def read(pieces: list[bytes]) -> tuple[list[ReceivedEvent], SSEParser]:
    parser = SSEParser()
    return [event for at, piece in enumerate(pieces) for event in parser.feed(piece, at)], parser


def check(received: list[ReceivedEvent], parser: SSEParser) -> None:
    events = [event for event in received if event.comment is None]
    assert [(event.data, event.id, event.event) for event in events] == EXPECTED
    assert [e.comment for e in received if e.comment is not None] == ["hello", "ping", "pong"]
    assert parser.retry == 250
    assert parser.pending == b"data: cut"


def test_reads_as_the_standard_says() -> None:
    check(*read([STREAM]))


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    check(*read([STREAM[a:b] for a, b in itertools.pairwise(edges)]))


def test_byte_by_byte() -> None:
    check(*read([STREAM[i : i + 1] for i in range(len(STREAM))]))


def test_an_event_has_the_time_of_its_last_byte_and_its_bytes() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a", 1.0) == []
    assert parser.feed(b"b\n", 2.0) == []
    (event,) = parser.feed(b"\ndata: c", 3.0)
    assert (event.data, event.received_at, event.raw) == ("ab", 3.0, b"data: ab\n\n")
