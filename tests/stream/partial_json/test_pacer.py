import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.stream.partial_json.documents import BOUNDED

from launchpad.stream.partial_json.pacer import FACTOR, FLOOR, FRAME_BYTES, SnapshotPacer


@BOUNDED
@given(
    st.integers(FLOOR, 12 * FLOOR),
    st.lists(st.integers(1, 40) | st.integers(1, 3_000), min_size=1, max_size=30),
    st.lists(st.floats(1, 3), min_size=1, max_size=8),
)
def test_all_bytes_stay_under_the_factor(end: int, steps: list[int], escapes: list[float]) -> None:
    """However the document grows, and whatever share of it must be escaped."""
    pacer = SnapshotPacer()
    size, cost, turn = 0, 0.0, 0
    while size < end:
        step = min(steps[turn % len(steps)], end - size)
        size += step
        cost += step * escapes[turn % len(escapes)]
        turn += 1
        if not pacer.wait(size, round(cost)):
            pacer.sent(round(cost))
    pacer.sent(round(cost))  # the last one, in any case
    finish_chunk = round(cost) + FRAME_BYTES
    assert pacer.spent + finish_chunk < FACTOR * size


def sent_sizes(end: int, step: int) -> list[int]:
    pacer = SnapshotPacer()
    sizes = []
    for size in range(step, end + 1, step):
        if not pacer.wait(size, size):
            pacer.sent(size)
            sizes.append(size)
    return sizes


def test_every_delta_of_a_short_document_leaves() -> None:
    assert sent_sizes(600, 4) == list(range(4, 601, 4))


def test_the_stream_never_stands_still() -> None:
    sizes = sent_sizes(20 * FLOOR, 4)
    for old, new in itertools.pairwise(sizes):
        assert new - old <= 4 + 0.25 * old
    for old, new in itertools.pairwise(sizes):
        if old > 2 * FLOOR:
            assert new - old <= 4 + 0.07 * old


def test_waiting_is_never_longer_than_needed() -> None:
    """Whoever asks again only after the growth that was named, misses nothing."""
    pacer = SnapshotPacer()
    named = 0.0
    for size in range(1, 3 * FLOOR):
        growth = pacer.wait(size, size)
        if not growth:
            assert size >= named
            pacer.sent(size)
            named = 0.0
        else:
            named = max(named, size + growth)
