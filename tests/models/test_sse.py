from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchpad.models.openai_compatible.sse import EventSplitter, EventTooLargeError, events_of


def feed(pieces: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [data for piece in pieces for data in events_of(splitter.feed(piece))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


STREAM = (
    "\ufeffdata: one\n\n: hello\n\nevent: x\ndata:two\ndata: three\nid: 4\n\n"
    "data\n\nretry: 5\n\ngarbage\n\ndata: gr\u00fc\u00dfe \u2028\u0085 \U0001f600\n\n\n\n"
    "data: last\n\ndata: half"
)
WANTED = [
    b"one",
    b"two\nthree",
    b"",
    "gr\u00fc\u00dfe \u2028\u0085 \U0001f600".encode(),
    b"last",
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@given(places=st.lists(st.integers(0, 400), max_size=30))
def test_any_cut_gives_the_same_events(line_end: str, places: list[int]) -> None:
    data = STREAM.replace("\n", line_end).encode()
    assert feed(cut(data, places)) == WANTED


def test_byte_by_byte() -> None:
    for line_end in ("\n", "\r\n", "\r"):
        data = STREAM.replace("\n", line_end).encode()
        assert feed([data[i : i + 1] for i in range(len(data))]) == WANTED


def test_between_events_nothing_is_held() -> None:
    splitter = EventSplitter()
    assert not splitter.between_events, "a byte order mark may come"
    for piece, between in (
        (b"data: a\n\n", True),
        (b"data: b", False),
        (b"\n\ndata: c\n\n", True),
        (b"data: d\r\n\r", False),
        (b"\n", True),
        (b"\n", False),
    ):
        splitter.feed(piece)
        assert splitter.between_events is between


def test_only_the_first_bytes_may_be_a_byte_order_mark() -> None:
    assert feed([b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n"]) == [b"a", b"c"]
    assert feed([b"\xef", b"\xbbdata: a\n\ndata: b\n\n"]) == [b"b"]


def test_the_unfinished_event_is_kept() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: a\n\ndata: [DO")
    splitter.feed(b"NE]")
    assert splitter.rest() == b"data: [DONE]"


def test_an_endless_event_is_refused() -> None:
    splitter = EventSplitter(max_event_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLargeError):
        splitter.feed(b"x" * 90)
