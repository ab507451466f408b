"""What an output is in words, where no node spoke."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel

from launchpad.core.answer import told
from launchpad.errors import NodeError
from launchpad.events import Delta, JsonDelta, TextDelta


class Colour(StrEnum):
    RED = "red"


class Point(BaseModel):
    x: int


@dataclass
class Line:
    start: Point
    _points: list[int] = field(default_factory=list[int])


@dataclass
class Plain:
    start: Point


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("text", TextDelta("N", "text")),
        ("", TextDelta("N", "")),
        (Colour.RED, TextDelta("N", "red")),
        (Point(x=1), JsonDelta("N", '{"x":1}')),
        ({"p": [Point(x=1)]}, JsonDelta("N", '{"p":[{"x":1}]}')),
        (Plain(Point(x=1)), JsonDelta("N", '{"start":{"x":1}}')),
        (Line(Point(x=1)), JsonDelta("N", '{"start":{"x":1}}')),
        ({"l": (Line(Point(x=1)), None)}, JsonDelta("N", '{"l":[{"start":{"x":1}},null]}')),
        (1.5, JsonDelta("N", "1.5")),
        (True, JsonDelta("N", "true")),
    ],
)
def test_text_or_json(output: Any, said: Delta) -> None:
    event = told(output, "N")
    assert event == said
    assert type(event.text) is str  # type: ignore[union-attr]


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    "output",
    [b"bytes", bytearray(b"bytes"), object(), {"a": object()}, Line, lambda: None, _circle()],
    ids=["bytes", "bytearray", "object", "object within", "class", "function", "circle"],
)
def test_anything_else_is_the_node_s_failure(output: Any) -> None:
    with pytest.raises(NodeError, match=r"N: its output, a .* neither text nor JSON; save"):
        told(output, "N")
