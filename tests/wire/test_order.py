from typing import Any

import pytest
from hypothesis import given
from tests.wire.runs import node, run_of, runs

from launchpad.errors import OutputError
from launchpad.events import (
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
)
from launchpad.wire.order import Order
from launchpad.wire.pairs import ends_in_half


def told(events: list[RunEvent], order: Order | None = None) -> list[RunEvent]:
    order = order or Order()
    return [event for each in events for event in order.push(each)]


def words(events: list[RunEvent]) -> str:
    return "".join([e.text for e in told(events) if isinstance(e, TextDelta | JsonDelta)])


def together(*events: RunEvent) -> list[RunEvent]:
    members = [NodeStarted("A", "All"), NodeStarted("B", "All")]
    return run_of(NodeStarted("All"), *members, *events, NodeFinished("All"))


def test_one_nodes_words_pass_at_once():
    order = Order()
    for event in run_of(*node("A", TextDelta("A", "x"))):
        if isinstance(event, NodeStarted):
            assert not order.push(event)
        else:
            assert order.push(event) == (event,)


def test_from_the_first_word_on_words_of_its_field_need_no_push():
    order = Order()
    order.push(NodeStarted("A"))
    assert not order.opened
    order.push(TextDelta("A", "x"))
    assert order.opened == {TextDelta, JsonDelta}
    order.push(ReasoningDelta("A", "x"))
    assert order.opened == {TextDelta, JsonDelta, ReasoningDelta}
    order.push(NodeFinished("A"))
    assert not order.opened


def test_a_later_nodes_words_open_with_a_paragraph_each_kind_on_its_own():
    run = run_of(
        *node("A", ReasoningDelta("A", "hm"), TextDelta("A", "a")),
        *node("B", JsonDelta("B", "{"), JsonDelta("B", "}"), ReasoningDelta("B", "so")),
    )
    assert words(run) == "a\n\n{}"
    assert [e.text for e in told(run) if isinstance(e, ReasoningDelta)] == ["hm", "\n\nso"]


def test_a_silent_node_opens_no_paragraph():
    assert words(run_of(*node("Router"), *node("A", TextDelta("A", "a")))) == "a"


def test_the_first_declared_streams_live_though_another_speaks_first():
    order = Order()
    run = together(
        TextDelta("B", "b1"),
        TextDelta("A", "a1"),
        TextDelta("B", "b2"),
        NodeFinished("B", "stop"),
        TextDelta("A", "a2"),
        NodeFinished("A", "stop"),
    )
    live = [[e.text for e in order.push(event) if isinstance(e, TextDelta)] for event in run]
    assert [texts for texts in live if texts] == [["a1"], ["a2"], ["\n\nb1b2"]]


def test_who_waited_streams_live_after_the_others_end():
    order = Order()
    run = together(TextDelta("B", "b1"), TextDelta("A", "a"), NodeFinished("A", "stop"))[:-2]
    told(run, order)
    late = TextDelta("B", "b2")
    assert order.push(late) == (late,)


def test_a_group_within_a_group_speaks_at_its_place():
    run = run_of(
        NodeStarted("All"),
        NodeStarted("Inner", "All"),
        NodeStarted("Z", "All"),
        NodeStarted("X", "Inner"),
        NodeStarted("Y", "Inner"),
        TextDelta("Z", "z"),
        TextDelta("Y", "y"),
        TextDelta("X", "x"),
        *[NodeFinished(name, "stop") for name in ("Z", "Y", "X")],
        NodeFinished("Inner"),
        NodeFinished("All"),
    )
    assert words(run) == "x\n\ny\n\nz"


def test_a_parent_speaks_after_its_members():
    run = together(
        TextDelta("All", "sum"), TextDelta("A", "a"), NodeFinished("A"), NodeFinished("B")
    )
    assert words(run) == "a\n\nsum"


def test_without_parents_the_first_to_speak_is_live():
    run = [NodeStarted("A"), NodeStarted("B"), TextDelta("B", "b"), TextDelta("A", "a")]
    assert words([*run, NodeFinished("B"), NodeFinished("A")]) == "b\n\na"


def test_words_of_an_unknown_or_finished_node_are_told_too():
    assert words(run_of(TextDelta("A", "a"))) == "a"
    assert words(run_of(*node("A"), TextDelta("A", "a"))) == "a"


def test_a_node_that_says_snapshots_is_told_by_its_last():
    run = run_of(*node("A", JsonSnapshot("A", "{}"), JsonSnapshot("A", '{"a": 1}')))
    assert words(run) == '{"a": 1}'
    assert words(run_of(NodeStarted("A"), JsonSnapshot("A", "[]"))) == "[]"
    empty = run_of(*node("A", TextDelta("A", "a")), NodeStarted("B"), JsonSnapshot("B", ""))
    assert words(empty) == "a"


def test_a_failure_drops_what_was_held():
    order = Order()
    told(together(TextDelta("B", "held"))[:-2], order)
    failure = RunFailed("broken")
    assert order.push(failure) == (failure,)


def test_what_is_held_is_bounded():
    order = Order(hold_limit=1000)
    with pytest.raises(OutputError, match=r"^B: said more"):
        told(together(*[TextDelta("B", "x" * 100)] * 10), order)


def test_room_is_free_again_after_a_release():
    order = Order(hold_limit=1000)
    for _ in range(5):
        told(together(TextDelta("B", "x" * 500), NodeFinished("B"), NodeFinished("A")), order)


@pytest.mark.parametrize("kind", [TextDelta, JsonDelta, ReasoningDelta, RefusalDelta])
def test_a_pair_that_was_cut_is_told_whole(kind: Any):
    out = told([NodeStarted("A"), kind("A", "a\ud83d"), kind("A", "\ude00b"), kind("A", "c")])
    assert out == [kind("A", "a"), kind("A", "\ud83d\ude00b"), kind("A", "c")]


def test_halves_wait_by_field_and_leave_with_their_node():
    events: list[RunEvent] = [
        NodeStarted("A"),
        TextDelta("A", "\ud83d"),
        ReasoningDelta("A", "r\ud83d"),
        JsonDelta("A", "\ude00"),
        ToolCallDelta("A", 0, "x\ud83d", "c", "f"),
        ToolCallDelta("A", 1, "y", "d", "g"),
        ToolCallDelta("A", 0, "\ude00"),
        NodeFinished("A"),
        NodeStarted("B"),
        TextDelta("B", "\ude00"),
    ]
    assert told(events) == [
        ReasoningDelta("A", "r"),
        JsonDelta("A", "\ud83d\ude00"),
        ToolCallDelta("A", 0, "x", "c", "f"),
        ToolCallDelta("A", 1, "y", "d", "g"),
        ToolCallDelta("A", 0, "\ud83d\ude00"),
        ReasoningDelta("A", "\ud83d"),
        NodeFinished("A"),
        TextDelta("B", "\n\n\ude00"),
    ]


def test_who_waited_keeps_half_a_pair_until_it_goes_on():
    held = [TextDelta("B", "b\ud83d"), TextDelta("A", "a"), NodeFinished("A")]
    events = together(*held, TextDelta("B", "\ude00"), NodeFinished("B"))
    said = [event.text for event in told(events) if isinstance(event, TextDelta)]
    assert said == ["a", "\n\nb", "\ud83d\ude00"]


@given(runs())
def test_every_word_is_told_once_and_nodes_do_not_interleave(events: list[RunEvent]):
    out = told(events)
    assert isinstance(out[-1], RunFinished)
    said = [e for e in out if isinstance(e, TextDelta | JsonDelta)]
    for name in {e.node for e in said}:
        mine = [i for i, e in enumerate(said) if e.node == name]
        assert mine == list(range(mine[0], mine[-1] + 1))
        given_text = "".join(
            [e.text for e in events if isinstance(e, TextDelta | JsonDelta) and e.node == name]
        )
        assert "".join([said[i].text for i in mine]).removeprefix("\n\n" * (mine[0] > 0)) == (
            given_text
        )


@given(runs())
def test_what_may_skip_push_would_not_be_changed_by_it(events: list[RunEvent]):
    order = Order()
    for event in events:
        skippable = type(event) in order.opened and event.node == order.floor  # type: ignore[attr-defined]
        out = order.push(event)
        if skippable and event.text and not ends_in_half(event.text):  # type: ignore[attr-defined]
            assert list(out) == [event]


def test_events_of_a_derived_class_keep_their_place():
    class Loud(TextDelta, frozen=True):
        pass

    events = [NodeStarted("A"), NodeStarted("B"), TextDelta("A", "a"), Loud("B", "b")]
    ends = [TextDelta("A", "c"), NodeFinished("A"), NodeFinished("B"), RunFinished()]
    said = [event.text for event in told([*events, *ends]) if isinstance(event, TextDelta)]
    assert said == ["a", "c", "\n\nb"]
