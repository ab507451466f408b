"""`valid_json_chunks`: every chunk parses on its own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from tests.wire.runs import chunks, node, run_of

from launchpad.errors import LaunchpadError
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
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.stream.failure import failed
from launchpad.stream.partial_json.operators import JsonSnapshots
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def encoder(**options: Any) -> OpenAIChatEncoder:
    request = OpenAIChatSchema.model_validate(
        {
            "messages": [{"role": "user", "content": "hi"}],
            "stream_options": {"valid_json_chunks": True, **options},
        }
    )
    return OpenAIChatEncoder(request, run_id="r1", created=1)


def one_by_one(events: list[RunEvent], **options: Any) -> list[dict[str, Any]]:
    whole = encoder(**options)
    return chunks(b"".join([whole.encode([event]) for event in events]))


def contents(objects: list[dict[str, Any]]) -> list[Any]:
    """Document 003's loop: unguarded."""
    return [json.loads(each["choices"][0]["delta"]["content"]) for each in objects]


def test_document_003s_loop_runs_through():
    pieces = ['{"na', 'me": "John', " Doe", '", "age": 3', '0, "email": "j', '@x.org"}']
    objects = one_by_one(run_of(*node("A", *[JsonDelta("A", piece) for piece in pieces])))
    said = contents(objects)
    assert said[-1] == said[-2] == {"name": "John Doe", "age": 30, "email": "j@x.org"}
    assert {"name": "John"} in said
    assert {"name": "John Doe"} in said
    assert objects[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("role" not in each["choices"][0]["delta"] for each in objects[1:])
    assert [each["choices"][0]["finish_reason"] for each in objects] == [
        *[None] * (len(objects) - 1),
        "stop",
    ]


def test_the_finish_chunk_repeats_the_last_object_and_says_its_node():
    objects = one_by_one(run_of(*node("A", JsonDelta("A", '{"a": "x"}'))))
    assert objects[-1]["choices"][0]["delta"] == {"content": '{"a": "x"}'}
    assert objects[-1]["launchpad"] == {"node": "A"}


def test_words_are_left_out():
    events = run_of(
        *node("A", TextDelta("A", "prose"), ReasoningDelta("A", "hm"), RefusalDelta("A", "no")),
        *node("B", JsonDelta("B", '{"b": 1}')),
    )
    assert all(each["launchpad"]["node"] == "B" for each in one_by_one(events))


def test_usage_is_the_only_chunk_without_content():
    events = [*node("A", JsonDelta("A", '{"a": 1}')), RunFinished("stop", Usage(1, 2))]
    objects = one_by_one(events, include_usage=True)
    assert objects[-1]["choices"] == []
    assert objects[-1]["usage"]["total_tokens"] == 3
    contents(objects[:-1])


def test_a_later_structured_node_starts_a_new_object():
    events = run_of(*node("A", JsonDelta("A", '{"a": 1}')), *node("B", JsonDelta("B", '{"b": 2}')))
    objects = one_by_one(events)
    assert contents(objects)[-1] == {"b": 2}
    assert {"a": 1} in contents(objects)
    assert [each["launchpad"]["node"] for each in objects] == sorted(
        each["launchpad"]["node"] for each in objects
    )


def test_cut_by_length_it_finishes_with_the_last_object():
    events = run_of(NodeStarted("A"), JsonDelta("A", '{"a": "lo'), NodeFinished("A", "length"))
    objects = one_by_one(events)
    assert contents(objects)[-1] == {"a": "lo"}
    assert objects[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("words", [ReasoningDelta("A", "hm"), JsonDelta("A", "Sure, ")])
def test_cut_before_any_json_it_is_an_empty_object(words: RunEvent, reason: FinishReason):
    events = [NodeStarted("A"), words, NodeFinished("A", reason), RunFinished(reason)]
    first, last = one_by_one(run_of(*events))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "{}", "refusal": None}
    assert first["choices"][0]["finish_reason"] is None
    assert last["choices"][0]["delta"] == {"content": "{}"}
    assert last["choices"][0]["finish_reason"] == reason


def test_a_nodes_own_snapshots_pass():
    events = run_of(
        *node("A", JsonSnapshot("A", '{"a": 1}'), JsonSnapshot("A", '{"a": 1, "b": 2}'))
    )
    assert contents(one_by_one(events))[-1] == {"a": 1, "b": 2}


def test_a_clients_tool_calls_ride_on_an_object():
    call = ToolCallDelta("A", 0, '{"x": 1}', "c", "f")
    events = run_of(
        NodeStarted("A"), call, NodeFinished("A", "tool_calls"), RunFinished("tool_calls")
    )
    objects = one_by_one(events)
    assert contents(objects) == [{}, {}]
    assert objects[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"x": 1}'
    assert objects[-1]["choices"][0]["finish_reason"] == "tool_calls"
    for each in objects:
        ChatCompletionChunk.model_validate(each)


@pytest.mark.parametrize(("reason", "told"), [("stop", "tool_calls"), ("length", "length")])
def test_a_choice_with_calls_ends_for_them(reason: Any, told: str):
    events = [
        *node("A", ToolCallDelta("A", 0, "{}", "c", "f")),
        NodeStarted("B"),
        JsonDelta("B", '{"b": 1}'),
        ToolCallDelta("B", 0, "{}", "c", "g"),
        NodeFinished("B", reason),
    ]
    objects = one_by_one(run_of(*events))
    assert objects[-1]["choices"][0]["finish_reason"] == told
    deltas = [each["choices"][0]["delta"] for each in objects]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["id"] for call in calls] == ["c", "c_1"]


@pytest.mark.parametrize("end", [[NodeFinished("A", "tool_calls")], []])
def test_a_pair_that_the_upstream_cut_in_arguments_arrives_whole(end: list[RunEvent]):
    pieces = ['{"a":"\ud83d', '\ude00"}\ud83d']
    calls = [ToolCallDelta("A", 0, piece, "c", "f") for piece in pieces]
    events = [NodeStarted("A"), *calls, *end, RunFinished("tool_calls")]
    deltas = [each["choices"][0]["delta"] for each in one_by_one(run_of(*events))]
    said = [call["function"]["arguments"] for d in deltas for call in d.get("tool_calls", ())]
    assert "".join(said) == '{"a":"😀"}\ufffd'


def test_a_run_without_json_fails_with_a_status_where_nothing_has_left():
    whole = encoder()
    with pytest.raises(LaunchpadError) as caught:
        whole.encode(run_of(*node("A", TextDelta("A", "prose"))))
    failure = failed(caught.value)
    assert "no JSON" in failure.message
    assert whole.failure(failure).status == 500
    assert whole.failure(failure).headers["x-should-retry"] == "false"
    assert "error" in chunks(whole.encode([failure]))[0]
    assert whole.ended


def test_broken_json_ends_in_an_error_after_what_could_be_read():
    objects = one_by_one(run_of(*node("A", JsonDelta("A", '{"a": "x", oops'))))
    assert contents(objects[:-1])[-1] == {"a": "x"}
    assert "not valid JSON" in objects[-1]["error"]["message"]


def test_a_failing_run_ends_in_its_own_error():
    objects = one_by_one([*node("A", JsonDelta("A", '{"a": "x"'))[:2], RunFailed("gone")])
    assert objects[-1]["error"]["message"] == "gone"
    whole = encoder()
    assert b"gone" in whole.encode([RunFailed("gone")])
    assert whole.encode([RunFailed("gone")]) == b""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data(), st.dictionaries(st.text(min_size=1, max_size=4), JSON, min_size=1, max_size=3))
def test_any_document_cut_anywhere_parses_at_every_chunk(
    data: st.DataObject, document: dict[str, Any]
):
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    objects = one_by_one(run_of(*node("A", *[JsonDelta("A", piece) for piece in pieces])))
    assert contents(objects)[-1] == document


@given(st.data())
def test_snapshots_made_before_are_taken_as_they_are(data: st.DataObject):
    text = json.dumps({"a": ["x", 1], "b": {"c": "long words"}})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    events = run_of(*node("A", *[JsonDelta("A", piece) for piece in pieces]))
    fragments, snapshots, operator = encoder(), encoder(), JsonSnapshots()
    for event in events:
        assert fragments.encode([event]) == snapshots.encode(operator([event]))
