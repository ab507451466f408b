"""Halves of surrogate pairs, by field and node."""

from __future__ import annotations

import pytest

from launchpad.events import JsonDelta, ReasoningDelta, TextDelta, ToolCallDelta
from launchpad.wire.pairs import Pairs, ends_in_half


@pytest.mark.parametrize(
    ("text", "half"),
    [
        *[(one, True) for one in ("\ud800", "a\udbff", "\ude00\ud83d")],
        *[(one, False) for one in ("", "a", "\ud7ff", "\udc00", "\ud83d\ude00", "\ud83da")],
    ],
)
def test_the_first_half_of_a_pair(text: str, half: bool) -> None:
    assert ends_in_half(text) is half


def test_halves_leave_with_their_node_or_all_at_once() -> None:
    pairs = Pairs()
    assert pairs.join(TextDelta("A", "a\ud83d")) == TextDelta("A", "a")
    assert pairs.join(TextDelta("B", "b\ud83d")) == TextDelta("B", "b")
    assert TextDelta("A", "x") in pairs
    assert JsonDelta("A", "x") in pairs
    assert ReasoningDelta("A", "x") not in pairs
    assert pairs.release("C") == []
    assert pairs.release("A") == [TextDelta("A", "\ud83d")]
    assert pairs.release() == [TextDelta("B", "\ud83d")]
    assert pairs.release() == []


def test_each_call_has_its_own_half_and_is_named_once() -> None:
    pairs = Pairs()
    named = ToolCallDelta("A", 0, "x\ud83d", "c", "f")
    assert pairs.join(named) == ToolCallDelta("A", 0, "x", "c", "f")
    assert pairs.join(ToolCallDelta("A", 1, "\ude00")) == ToolCallDelta("A", 1, "\ude00")
    assert pairs.join(ToolCallDelta("A", 0, "\ude00y")) == ToolCallDelta("A", 0, "\ud83d\ude00y")
    assert pairs.release() == []
