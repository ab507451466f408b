from typing import Any

import pytest

from launchpad.wire.openai_chat.json_schema import MAX_DEPTH, schema_problem
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def nested(levels: int, step: str) -> dict[str, Any]:
    """A schema of so many levels, each inside the one before it."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        inner: Any = {"a": schema} if step in {"properties", "$defs"} else schema
        schema = {step: [inner] if step in {"anyOf", "allOf"} else inner}
    return schema


GOOD: list[Any] = [
    {},
    True,
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": True, "b": False}, "additionalProperties": False},
    {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
    {"properties": {"properties": {"type": "string"}, "required": {"type": "boolean"}}},
    {"properties": {"type": {"enum": ["a", 1, None, {"x": []}]}}},
    {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"definitions": {"a": {}}, "oneOf": [{"$ref": "#/definitions/a"}]},
    {"type": "array", "items": True},
    {"type": "array", "items": [{"type": "string"}], "additionalItems": False},
    {"type": "array", "prefixItems": [{"type": "string"}], "items": False, "uniqueItems": True},
    {"minimum": -1.5, "maximum": 3, "minLength": 0, "maxItems": 2.0, "exclusiveMinimum": True},
    {"not": {"const": 5}, "if": {}, "then": True, "else": {"pattern": "("}},
    {"x-anything": 5, "nullable": True, "default": {"properties": 3}, "const": {"type": 5}},
]


@pytest.mark.parametrize("schema", GOOD)
def test_a_schema_is_one(schema: Any):
    assert schema_problem(schema) is None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "it has to be a schema (an object or a boolean)"),
        ([], "it has to be a schema"),
        ({"type": 5}, "'type' has to be one of string, number, integer, boolean, object, array"),
        ({"type": "strng"}, "'type' has to be one of string"),
        ({"type": []}, "'type' has to be"),
        ({"type": ["string", {}]}, "'type' has to be"),
        ({"properties": [1]}, "'properties' has to be an object of schemas"),
        ({"properties": {"a": None}}, "'properties.a' has to be a schema"),
        ({"properties": {"a": {"properties": {"b": 3}}}}, "'properties.a.properties.b' has to be"),
        ({"$defs": []}, "'$defs' has to be an object of schemas"),
        ({"required": "a"}, "'required' has to be an array of strings"),
        ({"required": [1]}, "'required' has to be an array of strings"),
        ({"anyOf": 3}, "'anyOf' has to be an array of schemas"),
        ({"anyOf": []}, "'anyOf' has to be an array of schemas"),
        ({"oneOf": [{}, "x"]}, "'oneOf[1]' has to be a schema"),
        ({"items": [{"allOf": [{"not": 3}]}]}, "'items[0].allOf[0].not' has to be a schema"),
        ({"items": "string"}, "'items' has to be a schema"),
        ({"prefixItems": {}}, "'prefixItems' has to be an array of schemas"),
        ({"additionalProperties": "no"}, "'additionalProperties' has to be a schema"),
        ({"enum": {}}, "'enum' has to be an array that is not empty"),
        ({"enum": []}, "'enum' has to be an array that is not empty"),
        ({"$ref": 5}, "'$ref' has to be a string"),
        ({"description": None}, "'description' has to be a string"),
        ({"minimum": "1"}, "'minimum' has to be a number"),
        ({"minLength": -1}, "'minLength' has to be an integer, 0 or more"),
        ({"maxItems": True}, "'maxItems' has to be an integer"),
        ({"uniqueItems": 1}, "'uniqueItems' has to be a boolean"),
    ],
)
def test_what_is_none_is_told_with_its_place(schema: Any, problem: str):
    assert (schema_problem(schema) or "").startswith(problem)


@pytest.mark.parametrize("step", ["properties", "$defs", "anyOf", "allOf", "items", "not"])
def test_depth_is_bounded(step: str):
    assert schema_problem(nested(MAX_DEPTH, step)) is None
    assert "levels deep" in (schema_problem(nested(MAX_DEPTH + 1, step)) or "")


@pytest.mark.parametrize("keyword", ["default", "const", "enum", "x-anything"])
def test_values_within_a_schema_are_bounded_too(keyword: str):
    value: list[Any] = []
    for _ in range(900):
        value = [value]
    assert "levels deep" in (schema_problem({"properties": {"a": {keyword: value}}}) or "")


@pytest.mark.parametrize("schema", [{}, {"schema": None}, {"schema": {}}])
def test_a_format_may_leave_its_schema_open(schema: dict[str, Any]):
    spec = {"type": "json_schema", "json_schema": {"name": "x", **schema}}
    messages = [{"role": "user", "content": "Hi"}]
    request = OpenAIChatSchema.model_validate({"messages": messages, "response_format": spec})
    assert request.wants_json
