"""Thinking tags: the same answer however its text is cut, and no tag where none is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.upstream import chunk, tool_call

from launchpad.models.openai_compatible.sdk_chunks import SdkChunks
from launchpad.models.openai_compatible.thinking_tags import Tag, ThinkingTags
from launchpad.models.openai_compatible.whole_chunks import Chunk, Item

TAGS = ("<think>", "</think>")
ANSWERS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", "<thi", "\n", " ", "hm", "a"]),
    max_size=12,
).map("".join)
CASES = [
    (["<think>", "hm", "</think>\n\n", "ans"], "\n\nans", "hm"),
    (["<think>", "hm</think>ans"], "ans", "hm"),
    (["<think>\n", "hm", "\n</think>\n\n", "ans"], "\n\nans", "\nhm\n"),
    (["ans ", "<think>", " is a tag"], "ans <think> is a tag", ""),
    (["\n", " <th", "ink", ">hm</", "think", ">ans"], "ans", "hm"),
    (["<think>a</think>", "\n", "<think>b</think>c"], "c", "ab"),
    (["<think>a", "<think>b</think>c"], "c", "a<think>b"),
    (["<think></think>c"], "c", ""),
    (["<think>hm</thin"], "", "hm</thin"),
    (["<thi"], "<thi", ""),
    (["\n", "ans"], "\nans", ""),
    (["\n"], "\n", ""),
    (["</think>ans"], "</think>ans", ""),
    ([" " * 2000, "<think>"], " " * 2000 + "<think>", ""),
]


def in_full(answer: str, *, drops_space: bool = False) -> tuple[str, str]:
    """What a whole answer says and thinks, by the rules' own words."""
    thought, rest = "", answer
    while rest.lstrip().startswith(TAGS[0]):
        found, tag, behind = rest.lstrip().removeprefix(TAGS[0]).partition(TAGS[1])
        thought += found
        rest = behind
        if not tag:
            break
    return rest.lstrip() if drops_space else rest, thought


def cut(answer: str, places: Sequence[int]) -> list[str]:
    ends = sorted({place % (len(answer) + 1) for place in places} | {len(answer)})
    return [piece for a, b in zip([0, *ends], ends, strict=False) if (piece := answer[a:b])]


def read(items: Sequence[Item], *, drops_space: bool = False) -> list[Item]:
    reader, out = ThinkingTags(TAGS, drops_space=drops_space), list[Item]()
    for item in items:
        out += reader.take([item])
    return out + reader.end()


def content_of(item: Item) -> str:
    if isinstance(item, str):
        return item
    return (item["choices"][0]["delta"].get("content") or "") if item["choices"] else ""


def meaning(items: Sequence[Item]) -> tuple[str, str]:
    said = ["", ""]
    thinking = False
    for item in items:
        if isinstance(item, Tag):
            thinking = not thinking
        else:
            said[thinking] += content_of(item)
    return said[0], said[1]


@pytest.mark.parametrize(("pieces", "text", "thought"), CASES)
def test_examples(pieces: list[str], text: str, thought: str) -> None:
    assert in_full("".join(pieces)) == (text, thought) or len(pieces[0]) > 1024
    assert meaning(read(pieces)) == (text, thought)
    assert meaning(read([chunk({"content": piece}) for piece in pieces])) == (text, thought)


@given(ANSWERS, st.lists(st.integers(0, 200)), st.booleans())
def test_cuts_make_no_difference(answer: str, places: list[int], drops_space: bool) -> None:
    pieces = cut(answer, places)
    wanted = in_full(answer, drops_space=drops_space)
    items = read(pieces, drops_space=drops_space)
    assert meaning(items) == wanted
    assert "" not in items
    whole = [chunk({"role": "assistant", "content": piece}) for piece in pieces]
    assert meaning(read(whole, drops_space=drops_space)) == wanted


@given(ANSWERS, st.lists(st.integers(0, 200)))
def test_no_more_is_held_than_may_be_a_tag(answer: str, places: list[int]) -> None:
    reader, out, fed = ThinkingTags(TAGS, drops_space=False), list[Item](), ""
    for piece in cut(answer, places):
        out += reader.take([piece])
        fed += piece
        text, thought = meaning(out)
        whole_text, whole_thought = in_full(fed)
        assert whole_thought.startswith(thought)
        assert TAGS[1].startswith(whole_thought[len(thought) :])
        assert whole_text.startswith(text)
        assert TAGS[0].startswith(whole_text[len(text) :].lstrip())


@given(ANSWERS, st.lists(st.integers(0, 200)), st.lists(st.booleans(), min_size=1))
def test_pydantic_ai_gets_a_tag_alone_where_there_is_one_and_nowhere_else(
    answer: str, places: list[int], as_chunks: list[bool]
) -> None:
    items: list[Item] = [chunk({"role": "assistant"})]
    for at, piece in enumerate(cut(answer, places)):
        items.append(chunk({"content": piece}) if as_chunks[at % len(as_chunks)] else piece)
    assert as_pydantic_ai(read([*items, chunk({}, "stop")])) == in_full(answer)


def test_what_a_call_ends_as_text_has_begun_the_answer() -> None:
    call = chunk(tool_call(0, id="1", name="f"))
    assert meaning(read(["<", call, "<think>", "hm"])) == ("<<think>hm", "")
    assert meaning(read(["<think>", "a<", call, "b</think>", "c"])) == ("c", "a<b")


def as_pydantic_ai(items: list[Item]) -> tuple[str, str]:
    """What pydantic-ai takes from SDK chunks: tags are chunks of nothing else."""
    chunks, said, thinking, pending = SdkChunks(TAGS), ["", ""], False, [*items]
    while pending:
        sent = chunks.take(pending)
        content = sent.choices[0].delta.content or ""
        if content == TAGS[thinking]:
            thinking = not thinking
        else:
            said[thinking] += content
    return said[0], said[1]


def test_all_else_of_a_chunk_stays_in_order() -> None:
    given_chunk: Chunk = chunk(
        {"role": "assistant", "reasoning": "r", "content": "<think>a</think>b"}
    )
    given_chunk["choices"][0]["logprobs"] = {"content": []}
    given_chunk["choices"][0]["finish_reason"] = "tool_calls"
    given_chunk["choices"][0]["delta"]["tool_calls"] = tool_call(0, id="1", name="f")["tool_calls"]
    given_chunk["usage"] = {"prompt_tokens": 1}
    head, *pieces, tail = read([given_chunk])
    assert pieces == ["<think>", "a", "</think>", "b"]
    assert isinstance(head, dict)
    assert isinstance(tail, dict)
    first, last = head["choices"][0], tail["choices"][0]
    assert first["delta"] == {"role": "assistant", "reasoning": "r"}
    assert (first["logprobs"], first["finish_reason"], head["usage"]) == (
        {"content": []},
        None,
        None,
    )
    assert list(last["delta"]) == ["tool_calls"]
    assert (last["logprobs"], last["finish_reason"]) == (None, "tool_calls")
    assert tail["usage"] == {"prompt_tokens": 1}


def test_what_is_held_comes_before_the_end_and_before_a_call() -> None:
    stop = chunk({}, "stop")
    assert read(["<think>hm</", stop]) == ["<think>", "hm", "</", stop]
    call = chunk(tool_call(0, id="1", name="f"))
    assert read(["<thi", call, "nk>a"]) == ["<thi", call, "nk>a"]


def test_white_space_before_a_call_is_dropped() -> None:
    call = chunk(tool_call(0, id="1", name="f"))
    assert read(["\n\n", call]) == [call]
    assert read(["<think>hm</think>", "\n", " ", call]) == ["<think>", "hm", "</think>", call]


def test_a_refusal_and_chunks_without_text_pass() -> None:
    items: list[Any] = [chunk({"role": "assistant", "content": ""}), chunk({"refusal": "No"})]
    items.append({**chunk({}), "choices": []})
    assert read(items) == items


def test_nothing_is_looked_at_once_the_answer_has_begun() -> None:
    reader = ThinkingTags(TAGS, drops_space=False)
    assert reader.take(["a", "<think>"]) == ["a", "<think>"]
    assert reader.settled


def test_white_space_alone_is_dropped_without_tags() -> None:
    reader = ThinkingTags(None, drops_space=True)
    assert reader.take(["\n", "\n a", " ", "<think>"]) == ["a", " ", "<think>"]
    assert reader.settled
