from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.upstream import DONE, STOP, chunk, event, text, tool_call

from launchpad.models.openai_compatible.chunks import ChunkDecoder
from launchpad.models.openai_compatible.sse import EventSplitter
from launchpad.models.openai_compatible.whole_chunks import GarbageError, Item, UpstreamSaidError


def decode(data: bytes, size: int | None = None) -> list[Item]:
    splitter, decoder, items = EventSplitter(), ChunkDecoder(), list[Item]()
    size = size or len(data)
    for start in range(0, len(data), size):
        block = splitter.feed(data[start : start + size])
        if block:
            decoder.decode(block, items)
    return items


def words(items: list[Item]) -> list[str]:
    return [item for item in items if isinstance(item, str)]


def test_plain_text_comes_out_as_text() -> None:
    data = b"".join([*text("a", "b", "c"), STOP, DONE])
    items = decode(data)
    assert words(items) == ["a", "b", "c"]
    assert [type(item) for item in items] == [dict, str, str, str, dict]


tokens = st.one_of(
    st.text(min_size=1, max_size=8),
    st.sampled_from(['"', "\\", '","x":"', "\n\n", "data: ", "</think>", '"}}]}', "\u2028", "😀"]),
)
extras: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"usage": None},
        {"system_fingerprint": "fp"},
        {"obfuscation": "x7"},
        {"service_tier": "default"},
    ]
)


@settings(max_examples=150)
@given(
    said=st.lists(tokens, min_size=1, max_size=12),
    more=extras,
    size=st.integers(1, 400),
    escaped=st.booleans(),
    compact=st.booleans(),
)
def test_every_text_arrives_whatever_it_is_and_however_it_is_cut(
    said: list[str], more: dict[str, Any], size: int, escaped: bool, compact: bool
) -> None:
    separators = (",", ":") if compact else (", ", ": ")
    data = b"".join(
        event(
            json.dumps(chunk({"content": one}, **more), ensure_ascii=escaped, separators=separators)
        )
        for one in ["", *said]
        # A lone surrogate cannot be sent as UTF-8; escaped it can.
        if escaped or one.isprintable() or one.encode("utf-8", "ignore").decode() == one
    )
    sent = [one for one in said if escaped or one.encode("utf-8", "ignore").decode() == one]
    items = decode(data, size)
    found = [
        item if isinstance(item, str) else item["choices"][0]["delta"]["content"] for item in items
    ]
    assert [one for one in found if one] == sent


UNUSUAL = [
    chunk({"content": "x", "reasoning_content": "why"}),
    chunk({"reasoning": "why"}),
    chunk({"refusal": "no"}),
    chunk(tool_call(0, name="f", id="1", arguments="")),
    chunk({"content": "x"}, "stop"),
    chunk({"content": "x"}, usage={"prompt_tokens": 1}),
    chunk({"content": ["x"]}),
    chunk({"content": "x", "annotations": [{"type": "url"}]}),
    chunk({"content": None}),
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"id": "only"},
]


@pytest.mark.parametrize("odd", UNUSUAL)
@pytest.mark.parametrize("size", [7, 10_000])
def test_anything_unusual_comes_out_whole(odd: dict[str, Any], size: int) -> None:
    data = b"".join([*text("a", "b", "c"), event(odd), *text("d")[1:]])
    items = decode(data, size)
    assert words(items) == ["a", "b", "c", "d"]
    whole = items[4]
    assert isinstance(whole, dict)
    assert whole == {"choices": [], **json.loads(json.dumps(odd))}


def test_logprobs_are_kept() -> None:
    odd = chunk({"content": "x"})
    odd["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -1, "top_logprobs": []}]}
    items = decode(b"".join([*text("a"), event(odd)]))
    assert items[-1] == odd


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ({"id": 5}, {"id": None}),
        ({"created": 253_402_300_799}, {}),
        ({"created": 253_402_300_800}, {"created": None}),
        ({"created": -1, "usage": []}, {"created": None, "usage": None}),
    ],
)
def test_only_what_cannot_be_read_of_the_labels_is_left_out(
    odd: dict[str, Any], kept: dict[str, Any]
) -> None:
    said = {**chunk({"content": "x", "refusal": False}, finish=""), **odd}
    probable = {"content": [{"token": "x", "logprob": -1, "top_logprobs": []}]}
    said["choices"][0]["logprobs"] = probable
    (item,) = decode(event(said))
    assert isinstance(item, dict)
    choice = {**said["choices"][0], "delta": {"content": "x", "refusal": None}}
    assert item == {**said, **kept, "choices": [{**choice, "finish_reason": None}]}


def test_other_choices_are_left_out() -> None:
    second = {"index": 1, "delta": {"content": "other"}, "finish_reason": None}
    both = chunk({"content": "x"})
    both["choices"].append(second)
    items = decode(event(both) + event({**chunk({}), "choices": [second]}))
    assert items == [chunk({"content": "x"}), {**chunk({}), "choices": []}]


def test_tool_calls_that_share_an_index_get_their_own() -> None:
    data = b"".join(
        event(chunk(one))
        for one in [
            tool_call(0, id="a", name="f", arguments='{"x"'),
            tool_call(0, arguments=":1}"),
            tool_call(0, id="b", name="g", arguments="{}"),
            tool_call(None, id="c", name="h", arguments="{"),
            tool_call(None, arguments="}"),
        ]
    )
    calls = [
        item["choices"][0]["delta"]["tool_calls"][0]
        for item in decode(data)
        if isinstance(item, dict)
    ]
    assert [call["index"] for call in calls] == [0, 0, 1, 2, 2]


def test_an_event_of_five_megabytes() -> None:
    long = "x" * 5_000_000
    items = decode(b"".join([*text("a", long, "b"), STOP]), size=65536)
    assert words(items) == ["a", long, "b"]


def test_garbage_is_an_error_after_what_came_before_it() -> None:
    decoder, items = ChunkDecoder(), list[Item]()
    with pytest.raises(GarbageError):
        decoder.decode(b"".join([*text("a", "b"), b"data: {oops\n\n"]), items)
    assert words(items) == ["a", "b"]
    with pytest.raises(GarbageError):
        decoder.decode(b"data: [1, 2]\n\n", items)


def test_an_error_object_is_an_error() -> None:
    decoder, items = ChunkDecoder(), list[Item]()
    with pytest.raises(UpstreamSaidError) as caught:
        decoder.decode(b"".join([*text("a"), event({"error": {"message": "no"}})]), items)
    assert caught.value.error == {"message": "no"}
    assert words(items) == ["a"]


def test_nothing_counts_after_done() -> None:
    assert words(decode(b"".join([*text("a"), STOP, DONE, *text("b")]))) == ["a"]
