"""A delta costs the same at any place of a document: calls and allocations are counted."""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from launchpad.stream.partial_json.lexer import PartialJson
from launchpad.stream.partial_json.prefix import SafePrefix

# What is still open when the delta arrives, and deltas that stay within that.
OPEN = {
    "string": ('{"text": "', "word "),
    "escapes": ('{"text": "', r"\u00e9\n"),
    "key": ('{"', "word "),
    "number": ('{"n": 1', "2345"),
    "array": ("[[[", "17, "),
    "objects": ('{"list": [', '{"id": 1, "on": true}, '),
    "nesting": ('{"a":', '[{"a":'),
    "whitespace": ("[", " \n"),
    "prose": ("", "It is [1] {x} so. "),
    "quoted prose": ('"', "It is [1] {x} so. "),
    "after": ('{"a": 1}', "It is [1] {x} so. "),
}


def calls(work: Callable[[], object]) -> int:
    """Function calls, Python's and C's, that `work` makes."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def allocated(work: Callable[[], object]) -> int:
    """Bytes that `work` needs at its peak."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def feed_many(size: int, start: str, delta: str) -> tuple[int, int]:
    """Calls a hundred deltas make after `size` characters, and the median delta's bytes."""
    reader = PartialJson()
    reader.feed(start)
    for _ in range(size // len(delta)):
        reader.feed(delta)
    gc.collect()
    count = calls(lambda: [reader.feed(delta) for _ in range(100)])
    peaks = sorted(allocated(lambda: reader.feed(delta)) for _ in range(21))
    return count, peaks[10]


@pytest.mark.parametrize("place", OPEN)
def test_a_delta_costs_the_same_at_any_size(place: str) -> None:
    small_calls, small_bytes = feed_many(1_000, *OPEN[place])
    large_calls, large_bytes = feed_many(200_000, *OPEN[place])
    # A fold of many small pieces may fall within the hundred deltas: some ten calls.
    assert abs(large_calls - small_calls) <= 20
    assert max(small_bytes, large_bytes) < 2_500


def test_what_is_kept_is_about_the_document() -> None:
    size = 400_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        reader = PartialJson()
        reader.feed('{"text": "')
        for number in range(size // 4):
            reader.feed(f"{number % 10_000:04}")
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(reader.snapshot()) > size
    assert kept < 1.25 * size


def test_settling_at_every_delta_copies_little() -> None:
    # As where a snapshot is made at every delta, apart from its own text.
    prefix = SafePrefix()
    copied = 0
    size = 200_000
    for _ in range(size // 4):
        prefix.pieces.append("word")
        blocks = len(prefix._blocks)
        prefix.settle()
        if len(prefix._blocks) <= blocks:
            copied += len(prefix._blocks[-1])
    assert len(prefix._blocks) < 20
    assert copied < 12 * size


@pytest.mark.parametrize(
    "piece", ["{", "[", "[{", '{"', '{"{', '{"{\\"', "[1 ", '"', "`", "{ ", "[1,[1,", "-", "t"]
)
def test_candidates_that_fail_are_not_read_over_and_over(piece: str) -> None:
    def read(size: int, step: int) -> int:
        text = piece * (size // len(piece))
        reader = PartialJson()
        return calls(lambda: [reader.feed(text[at : at + step]) for at in range(0, size, step)])

    for step in (4, 8_000):
        assert read(8_000, step) <= 4.5 * read(2_000, step) + 50
