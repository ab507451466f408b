"""Which chunks begin an answer that is nothing but text."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models.upstream import chunk

from launchpad.models.openai_compatible.plain_answer import PlainAnswer
from launchpad.models.openai_compatible.whole_chunks import Item


def rest_of(*items: Item) -> list[Item]:
    return PlainAnswer(mends_tokens=True).take([*items])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"service_tier": "default"},
        {"system_fingerprint": "f"},
        {"obfuscation": "x"},
        {"x": None},
    ],
)
def test_a_head_that_says_who_answers_is_plain(more: dict[str, Any]) -> None:
    assert rest_of({**chunk({"role": "assistant"}), **more}, "text", "é") == []


@pytest.mark.parametrize(
    "more",
    [
        {"id": ""},
        {"id": 5},
        {"model": ""},
        {"model": None},
        {"created": 0},
        {"created": True},
        {"created": 1 << 32},
        {"created": None},
        {"service_tier": ""},
        {"service_tier": 5},
        {"x": 1},
    ],
)
def test_a_head_that_does_not_is_pydantic_ai_s(more: dict[str, Any]) -> None:
    head = {**chunk({"role": "assistant"}), **more}
    assert rest_of(head, "text") == [head, "text"]


@pytest.mark.parametrize("text", ["<\u200d|im_end|>", "\u200bim_end|>", "é [\u2060INST]"])
def test_a_broken_token_is_pydantic_ai_s_to_mend(text: str) -> None:
    head = chunk({"role": "assistant"})
    assert rest_of(head, "a", text) == ["a", text]
    assert rest_of(chunk({"content": text})) == [chunk({"content": text})]
    assert PlainAnswer(mends_tokens=False).take([head, "a", text]) == []
