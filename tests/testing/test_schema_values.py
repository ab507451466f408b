from __future__ import annotations

import datetime
import json
import re
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter

from launchpad.testing.schema_values import conforms, example, strict_problem


class Tree(BaseModel):
    value: int
    left: Tree | None
    children: list[Tree]


class Everything(BaseModel):
    even: Annotated[int, Field(gt=3, lt=9, multiple_of=2)]
    between: Annotated[float, Field(gt=0.2, lt=0.3)]
    below: Annotated[int, Field(le=-5)]
    decimal: Decimal
    day: datetime.date
    moment: datetime.datetime
    ident: UUID
    url: AnyUrl
    numbers: dict[str, int]
    pair: tuple[int, str]
    word: Literal["x", "y"]
    phone: Annotated[str, Field(pattern=r"^\d{3}-\d{4}$")]
    long: Annotated[str, Field(min_length=200)]
    short: Annotated[str, Field(max_length=2)]
    many: Annotated[list[bool], Field(min_length=3)]
    either: int | str
    optional: str = "left out"


@pytest.mark.parametrize("model", [Tree, Everything])
@pytest.mark.parametrize("text", ["hello", "", "a much longer text " * 40])
def test_examples_are_valid_for_pydantic(model: type[BaseModel], text: str) -> None:
    value = example(model.model_json_schema(), text)
    assert isinstance(model.model_validate_json(json.dumps(value)), model)


def test_free_strings_say_the_text() -> None:
    assert example({"type": "string"}, "hello") == "hello"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int, 3, 3.5),
        (int, 3, True),
        (list[int], [1], ["1"]),
        (dict[str, int], {"a": 1}, {"a": "b"}),
        (tuple[int, str], [1, "a"], ["a", 1]),
        (Literal["a"], "a", "b"),
        (str | None, None, 1),
        (Annotated[str, Field(pattern="^a+$")], "aa", "b"),
        (Annotated[int, Field(multiple_of=3, ge=3)], 6, 7),
        (Annotated[list[int], Field(max_length=1)], [1], [1, 2]),
        (Tree, {"value": 1, "left": None, "children": []}, {"value": 1, "left": 2, "children": []}),
    ],
)
def test_conforms(kind: Any, good: object, bad: object) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert conforms(schema, good)
    assert not conforms(schema, bad)


def test_all_of_and_closed_objects() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"b": {"type": "string"}}}],
        "required": ["b"],
        "additionalProperties": False,
        "$defs": {"a": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}},
    }
    assert example(schema, "t") == {"b": "t", "a": 1}
    assert not conforms(schema, {"a": 1, "b": "x", "c": 0})
    assert not conforms(schema, {"b": "x"})


def test_what_has_no_example_is_an_error() -> None:
    with pytest.raises(ValueError, match="no example"):
        example({"type": "string", "pattern": re.escape("never tried")}, "x")
    with pytest.raises(ValueError, match="cannot follow"):
        example({"$ref": "https://example.com/schema"}, "x")


def test_strict_rules() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    assert strict_problem({**closed, "required": ["a"]}) is None
    assert "required" in (strict_problem(closed) or "")
    nested = {"type": "array", "items": {"type": "object"}}
    assert "additionalProperties" in (strict_problem(nested) or "")
    named = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
    assert strict_problem({**named, "additionalProperties": False}) is None
