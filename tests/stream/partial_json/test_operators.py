import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.partial_json.documents import BOUNDED, check_growth, clean, cut, objects

from launchpad.events import (
    FinishReason,
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
)
from launchpad.stream.partial_json.escape import escape
from launchpad.stream.partial_json.operators import JsonSnapshots
from launchpad.stream.partial_json.pacer import FACTOR, FRAME_BYTES

DONE = RunFinished()


def run(events: Sequence[RunEvent], size: int = 1) -> list[RunEvent]:
    """What comes out when `size` events make a batch."""
    operator = JsonSnapshots()
    return [
        event
        for start in range(0, len(events), size)
        for event in operator(events[start : start + size])
    ]


def shown(events: Sequence[RunEvent]) -> list[tuple[str, str]]:
    return [(event.node, event.text) for event in events if isinstance(event, JsonSnapshot)]


def spoken(node: str, *texts: str) -> list[RunEvent]:
    return [NodeStarted(node), *(JsonDelta(node, text) for text in texts)]


def finished(node: str, reason: FinishReason = "stop") -> NodeFinished:
    return NodeFinished(node, reason)


def test_fragments_become_documents_and_the_rest_passes() -> None:
    start, call = RunStarted("r", "w", None), ToolCallDelta("B", 0, "{}", "id", "name")
    events = [
        start,
        NodeStarted("A"),
        TextDelta("A", "words"),
        ReasoningDelta("A", "hm"),
        RefusalDelta("A", "no"),
        finished("A"),
        *spoken("B", "Here: ", '{"name"', ': "John', ' Doe"', ', "age', '": 3', "0}", "\nBye"),
        call,
        finished("B"),
        DONE,
    ]
    assert run(events) == [
        start,
        NodeStarted("A"),
        finished("A"),
        NodeStarted("B"),
        JsonSnapshot("B", '{"name": "John"}'),
        JsonSnapshot("B", '{"name": "John Doe"}'),
        JsonSnapshot("B", '{"name": "John Doe", "age": 30}'),
        call,
        finished("B"),
        DONE,
    ]


def test_a_batch_gives_the_latest_snapshot_before_the_end_of_its_node() -> None:
    events = [*spoken("A", '{"a": "', "x", "y", '"}'), finished("A"), DONE]
    assert run(events, 4) == [
        NodeStarted("A"),
        JsonSnapshot("A", '{"a": "xy"}'),
        finished("A"),
        DONE,
    ]
    assert run(events, 100) == run(events, 4)


@settings(BOUNDED, max_examples=60)
@given(st.data(), objects, st.integers(1, 7))
def test_any_document_in_any_batches(
    data: st.DataObject, value: dict[str, object], size: int
) -> None:
    deltas = data.draw(cut(json.dumps(value)))
    out = run([*spoken("A", *deltas), finished("A"), DONE], size)
    assert check_growth([text for _, text in shown(out)])[-1] == clean(value)
    assert out[-1] == DONE


def test_a_later_node_starts_a_new_object() -> None:
    out = run([*spoken("A", '{"a": 1}'), finished("A"), *spoken("B", '{"a": 1}'), finished("B")])
    assert shown(out) == [("A", '{"a": 1}'), ("B", '{"a": 1}')]


def test_documents_of_one_node_come_one_after_another() -> None:
    events = [*spoken("A", '{"a": "', 'x"}\n{"b', '": 1}{"c": 2}'), finished("A"), DONE]
    expected = [("A", '{"a": "x"}'), ("A", '{"b": 1}'), ("A", '{"c": 2}')]
    assert shown(run(events, 100)) == expected
    assert shown(run(events)) == [("A", '{"a": ""}'), *expected]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_document_that_has_given_way_is_not_told_again(size: int) -> None:
    texts = ['{"a": 1}', '{"b": 2}', '{"c": 3}', '{"d": 4}']
    deltas = ["\n".join(texts[:2]), "\n" + texts[2], "\n" + texts[3]]
    events = run([*spoken("A", *deltas), finished("A"), DONE], size)
    assert shown(events) == [("A", text) for text in texts]


def test_concurrent_nodes_go_one_after_another() -> None:
    events: list[RunEvent] = [
        NodeStarted("A"),
        NodeStarted("B"),
        NodeStarted("C"),
        JsonDelta("B", '{"b": "x'),
        JsonDelta("A", '{"a": 1}'),
        JsonDelta("C", '{"c": "x'),
        finished("A"),
        JsonDelta("B", 'y"}'),
        finished("B"),
        JsonDelta("C", 'y"}'),
        finished("C"),
        DONE,
    ]
    assert run(events)[3:] == [
        JsonSnapshot("B", '{"b": "x"}'),
        JsonSnapshot("B", '{"b": "xy"}'),
        finished("B"),
        JsonSnapshot("A", '{"a": 1}'),
        finished("A"),
        JsonSnapshot("C", '{"c": "x"}'),
        JsonSnapshot("C", '{"c": "xy"}'),
        finished("C"),
        DONE,
    ]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_nodes_of_one_parent_go_in_the_order_in_which_they_started(size: int) -> None:
    events: list[RunEvent] = [
        NodeStarted("P"),
        NodeStarted("Silent", "P"),
        NodeStarted("A", "P"),
        NodeStarted("Q", "P"),
        NodeStarted("B", "Q"),
        JsonDelta("B", '{"b": 1}'),
        finished("B"),
        JsonDelta("P", '{"p": 1}'),
        TextDelta("Silent", "words"),
        finished("Silent"),
        JsonDelta("A", '{"a": 1}'),
        finished("A"),
        finished("Q"),
        finished("P"),
        DONE,
    ]
    assert run(events, size)[5:] == [
        finished("Silent"),
        JsonSnapshot("A", '{"a": 1}'),
        finished("A"),
        JsonSnapshot("B", '{"b": 1}'),
        finished("B"),
        finished("Q"),
        JsonSnapshot("P", '{"p": 1}'),
        finished("P"),
        DONE,
    ]


def test_a_parent_that_has_begun_ends_before_its_members() -> None:
    events = [
        *spoken("P", '{"p":', " 1"),
        NodeStarted("A", "P"),
        JsonDelta("A", '{"a": 1}'),
        finished("A"),
        JsonDelta("P", "}"),
        finished("P"),
        DONE,
    ]
    assert shown(run(events)) == [("P", "{}"), ("P", '{"p": 1}'), ("A", '{"a": 1}')]


def test_what_its_nodes_have_said_is_told_at_the_end_of_a_run_at_the_latest() -> None:
    assert shown(run([*spoken("A", "4", "2"), *spoken("B", "7"), DONE])) == [
        ("A", "42"),
        ("B", "7"),
    ]


def test_a_large_document_grows_in_steps_and_leaves_at_once_when_it_is_whole() -> None:
    operator = JsonSnapshots()
    words = "x" * 50_000
    assert len(shown(operator(spoken("A", '{"a": "', words)))) == 1
    steps = [len(shown(operator([JsonDelta("A", "y")]))) for _ in range(30)]
    assert steps[0] == 1
    assert steps[-1] == 0
    whole = f'{{"a": "{words}{"y" * 30}"}}'
    assert shown(operator([JsonDelta("A", '"}')])) == [("A", whole)]


def test_a_large_document_goes_on_growing_all_the_way() -> None:
    size = 200_000
    deltas = ['{"a": "', *["x" * 10] * (size // 10), '"}']
    sizes = [len(text) for _, text in shown(run([*spoken("A", *deltas), finished("A"), DONE]))]
    large = [one for one in sizes if one > 16 * 1024]
    assert len(large) > 20
    # The steps are some 5 % of the document there.
    assert all(later < 1.2 * one for one, later in pairwise(large))


def test_prose_before_an_empty_object() -> None:
    events = [*spoken("A", "Nothing found: ", "{", "}", "\n"), finished("A"), DONE]
    assert run(events)[1:] == [JsonSnapshot("A", "{}"), finished("A"), DONE]


def test_what_waits_is_bounded() -> None:
    operator = JsonSnapshots(max_held=100)
    operator(spoken("A", '{"a": "x'))
    assert shown(operator(spoken("B", '{"b": "', "y" * 90))) == []
    assert shown(operator([JsonDelta("A", "z" * 1000)])) == [("A", f'{{"a": "x{"z" * 1000}"}}')]
    out = operator([JsonDelta("A", "z"), JsonDelta("B", "y" * 10)])
    assert [type(event) for event in out] == [RunFailed]
    assert operator([JsonDelta("A", "z"), DONE]) == []


def test_a_node_whose_turn_has_come_no_longer_waits() -> None:
    operator = JsonSnapshots(max_held=100)
    operator(spoken("A", '{"a": 1}'))
    operator(spoken("B", '{"b": "', "y" * 90))
    operator([finished("A")])
    operator(spoken("C", '{"c": "', "y" * 90))
    assert shown(operator([JsonDelta("B", "!")])) == [("B", f'{{"b": "{"y" * 90}!"}}')]


@pytest.mark.parametrize(
    ("events", "reason", "message"),
    [
        ([], "stop", "no JSON"),
        ([NodeStarted("A"), TextDelta("A", '{"a": 1}'), finished("A")], "stop", "no JSON"),
        ([*spoken("A", "Sorry, I can't."), finished("A")], "stop", "no JSON"),
        ([RefusalDelta("A", "I can't"), finished("A")], "stop", "refused"),
        ([*spoken("A", '{"a": 1, b}'), finished("A")], "stop", "A: the output is not valid"),
        (
            [*spoken("A", '{"a": 1, b}'), finished("A"), *spoken("B", "{}"), finished("B")],
            "stop",
            "A: the output is not valid",
        ),
        ([*spoken("A", '{"a": 1, "b": '), finished("A")], "stop", "A: the output ended"),
    ],
)
def test_a_run_without_a_whole_document_fails(
    events: list[RunEvent], reason: FinishReason, message: str
) -> None:
    last = run([*events, RunFinished(reason)])[-1]
    assert isinstance(last, RunFailed)
    assert message in last.message
    assert (last.status, last.code) == (500, "invalid_output")


@pytest.mark.parametrize("words", [[], spoken("A", "Sure: {")])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_cut_before_any_json_it_finishes(words: list[RunEvent], reason: FinishReason) -> None:
    events = [*words, finished("A", reason), RunFinished(reason)]
    assert run(events)[-1] == events[-1]


def test_a_document_cut_by_length_finishes() -> None:
    events = [*spoken("A", '{"a": 1, "b": "x'), finished("A", "length"), RunFinished("length")]
    out = run(events)
    assert out[-2:] == events[-2:]
    assert shown(out)[-1] == ("A", '{"a": 1, "b": "x"}')


def test_a_run_that_calls_the_clients_tools_finishes() -> None:
    events = [
        NodeStarted("A"),
        ToolCallDelta("A", 0, "{}", "id", "name"),
        finished("A", "tool_calls"),
        RunFinished("tool_calls"),
    ]
    assert run(events) == events


def test_a_failed_run_shows_what_there_was() -> None:
    failed = RunFailed("broken")
    events = [*spoken("A", '{"a": "x'), *spoken("B", '{"b": "x'), failed, DONE]
    out = run(events, 100)
    assert shown(out) == [("A", '{"a": "x"}'), ("B", '{"b": "x"}')]
    assert out[-1] == failed


def test_arrays_and_single_values_are_shown_too() -> None:
    array = run([*spoken("A", '[{"a"', ": 1}", ", {}]"), finished("A"), DONE])
    assert shown(array) == [("A", '[{"a": 1}]'), ("A", '[{"a": 1}, {}]')]
    number = run([*spoken("A", "4", "2"), finished("A"), DONE])
    assert number[-3:] == [JsonSnapshot("A", "42"), finished("A"), DONE]


def test_a_node_s_own_snapshot_takes_the_place_of_the_fragments_before_it() -> None:
    fragments = [JsonDelta("A", '{"a": "'), JsonDelta("A", "x" * 3000), JsonDelta("A", "y")]
    made = ['{"b": 1}', '{"b": 1, "c": "z"}']
    events = [NodeStarted("A"), *fragments, *(JsonSnapshot("A", text) for text in made)]
    told = [text for _, text in shown(run([*events, finished("A"), DONE]))]
    assert told[-2:] == made
    assert told[-3].startswith('{"a": "xxx')


def test_a_nodes_own_snapshots_are_checked_and_passed() -> None:
    texts = ['{"a": 1}', '{"a": 1}', '{"a": 1, "b": 2}']
    events = [NodeStarted("A"), *(JsonSnapshot("A", text) for text in texts), finished("A"), DONE]
    assert shown(run(events)) == [("A", texts[0]), ("A", texts[2])]
    broken = run([JsonSnapshot("A", '{"a": 1, b}'), finished("A"), DONE])
    assert shown(broken) == [("A", '{"a": 1}')]
    assert isinstance(broken[-1], RunFailed)


@pytest.mark.parametrize("size", [17_000, 60_000, 150_000])
def test_all_bytes_of_a_large_document_stay_under_twenty_times_its_own(size: int) -> None:
    items = [{"id": number, "note": 'say "no" é\n'} for number in range(size // 40)]
    document = json.dumps({"items": items}, ensure_ascii=False)
    deltas = [document[start : start + 4] for start in range(0, len(document), 4)]
    texts = [text for _, text in shown(run([*spoken("A", *deltas), finished("A"), DONE]))]
    assert json.loads(texts[-1]) == {"items": items}
    sent = sum(len(escape(text)) + FRAME_BYTES for text in (*texts, texts[-1]))
    assert sent < FACTOR * len(document.encode())
    assert len(texts) > 50
