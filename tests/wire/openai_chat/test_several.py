"""Several choices on one wire: whose words are whose, and who tells what concerns all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from tests.wire.runs import chunks, frames, node, run_of

from launchpad.events import OfChoice, RunEvent, RunFailed, TextDelta
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.wire.openai_chat.several import (
    Operator,
    SeveralChoicesBuilder,
    SeveralChoicesEncoder,
)

REQUEST = OpenAIChatSchema.model_validate({"messages": [{"role": "user", "content": "hi"}], "n": 2})
LEFT = run_of(*node("A", TextDelta("A", "l1 "), TextDelta("A", "l2 ")))
RIGHT = run_of(*node("A", TextDelta("A", "r1 "), TextDelta("A", "r2 ")))
IN_TURNS: list[RunEvent] = [
    OfChoice(choice, event)
    for pair in zip(LEFT, RIGHT, strict=True)
    for choice, event in reversed(list(enumerate(pair)))
]


def nothing() -> Sequence[Operator]:
    return ()


def numbering() -> Sequence[Operator]:
    """Marks each word with how many its own run has said: it has to be one run's alone."""
    said = 0

    def mark(events: Sequence[RunEvent]) -> Sequence[RunEvent]:
        nonlocal said
        marked: list[RunEvent] = []
        for event in events:
            if isinstance(event, TextDelta):
                said += 1
                marked.append(TextDelta(event.node, f"{said}:{event.text}"))
            else:
                marked.append(event)
        return marked

    return [mark]


def encoder(
    operators: Callable[[], Sequence[Operator]] = nothing,
) -> SeveralChoicesEncoder:
    whole = OpenAIChatEncoder(REQUEST, run_id="r", created=1, choices=2)
    return SeveralChoicesEncoder(whole, 2, operators)


def words_of(data: bytes) -> dict[int, str]:
    said = {0: "", 1: ""}
    for each in chunks(data):
        for choice in each["choices"]:
            said[choice["index"]] += choice["delta"].get("content", "")
    return said


@pytest.mark.parametrize("size", [1, 2, 3, len(IN_TURNS)])
def test_words_that_come_in_turns_go_to_their_own_choice(size: int) -> None:
    several = encoder(numbering)
    batches = [IN_TURNS[start : start + size] for start in range(0, len(IN_TURNS), size)]
    data = b"".join(several.encode(batch) for batch in batches)
    assert words_of(data) == {0: "1:l1 2:l2 ", 1: "1:r1 2:r2 "}
    assert frames(data)[-1] == "[DONE]"
    assert frames(data).count("[DONE]") == 1


def test_one_piece_has_each_choice_s_words() -> None:
    several = SeveralChoicesBuilder(ChatCompletionBuilder(REQUEST, choices=2))
    several.add(IN_TURNS)
    choices = json.loads(several.body())["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["l1 l2 ", "r1 r2 "]


@pytest.mark.parametrize("ended", [[], LEFT])
def test_what_concerns_all_is_told_once_also_where_the_first_has_ended(
    ended: list[RunEvent],
) -> None:
    several = encoder()
    before = [OfChoice(0, event) for event in ended]
    assert "error" not in several.encode([*before, OfChoice(1, RIGHT[0])]).decode()
    (told,) = frames(several.encode([RunFailed("no", 502, "server_error", "broken")]))
    assert json.loads(told)["error"]["code"] == "broken"
    assert several.encode([RunFailed("again", 502, "server_error", "broken")]) == b""
    assert several.encode([OfChoice(1, RIGHT[2])]) == b""


def test_what_concerns_all_in_one_piece_is_the_first_choice_s() -> None:
    whole = ChatCompletionBuilder(REQUEST, choices=2)
    SeveralChoicesBuilder(whole).add([RunFailed("no", 502, "server_error", "broken")])
    assert whole.failed is not None
    assert not whole.finished
