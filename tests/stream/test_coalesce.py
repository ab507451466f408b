from hypothesis import given
from tests.wire.runs import runs

from launchpad.events import (
    JsonDelta,
    NodeFinished,
    ReasoningDelta,
    RunEvent,
    TextDelta,
    ToolCallDelta,
)
from launchpad.stream.coalesce import coalesce
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder


def test_neighbours_of_one_node_and_kind_become_one():
    events = [TextDelta("A", "a"), TextDelta("A", "b"), TextDelta("B", "c"), JsonDelta("B", "{")]
    assert coalesce(events) == [TextDelta("A", "ab"), TextDelta("B", "c"), JsonDelta("B", "{")]


def test_nothing_is_moved_past_another_event():
    events = [TextDelta("A", "a"), ReasoningDelta("A", "?"), TextDelta("A", "b"), NodeFinished("A")]
    assert coalesce(events) == events


def test_pieces_of_one_call_merge_until_another_begins():
    events = [
        ToolCallDelta("A", 0, "", "id0", "f"),
        ToolCallDelta("A", 0, '{"x":'),
        ToolCallDelta("A", 0, "1}"),
        ToolCallDelta("A", 0, extra_content={"signed": 1}),
        ToolCallDelta("A", 1, "", "id1", "g"),
        ToolCallDelta("A", 1, "{}"),
        ToolCallDelta("A", 1, "", "id2", "h"),
        ToolCallDelta("A", 1, "{", "id3"),
        ToolCallDelta("A", 1, "}", None, "i"),
        ToolCallDelta("B", 1, "{}"),
    ]
    assert coalesce(events) == [
        ToolCallDelta("A", 0, '{"x":1}', "id0", "f"),
        ToolCallDelta("A", 0, extra_content={"signed": 1}),
        ToolCallDelta("A", 1, "{}", "id1", "g"),
        ToolCallDelta("A", 1, "", "id2", "h"),
        ToolCallDelta("A", 1, "{", "id3"),
        ToolCallDelta("A", 1, "}", None, "i"),
        ToolCallDelta("B", 1, "{}"),
    ]


@given(runs())
def test_the_answer_stays_the_same(events: list[RunEvent]):
    plain, merged = (ChatCompletionBuilder(run_id="r", created=1) for _ in range(2))
    plain.add(events)
    merged.add(coalesce(events))
    assert plain.body() == merged.body()
    assert len(coalesce(events)) <= len(events)
