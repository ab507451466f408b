"""Whether a client's JSON schema is one in shape, before a model is asked with it.

Not whether it makes sense: references are not followed, patterns not compiled, and unknown keywords
pass. Source: JSON Schema 2020-12, and the older `definitions` and lists in `items`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

__all__ = ["MAX_DEPTH", "schema_problem"]

MAX_DEPTH: Final = 64
"""How many schemas, or objects and arrays within one, may stand in each other."""

_TYPES: Final = ("string", "number", "integer", "boolean", "object", "array", "null")
_SCHEMAS: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
_TYPED_BY: Final = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_number(value) and cast("float", value) >= 0 and cast("float", value) % 1 == 0


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_type(value: object) -> bool:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    return bool(names) and all(name in _TYPES for name in names if isinstance(name, str) or True)


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_string, cast("list[object]", value)))


def _is_full_list(value: object) -> bool:
    return isinstance(value, list) and bool(cast("list[object]", value))


_VALUES: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    **dict.fromkeys(
        ("$id", "$ref", "$schema", "description", "format", "pattern", "title"),
        (_is_string, "a string"),
    ),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), (_is_number, "a number")),
    **dict.fromkeys(
        ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"),
        (_is_count, "an integer, 0 or more"),
    ),
    "enum": (_is_full_list, "an array that is not empty"),
    "required": (_are_strings, "an array of strings"),
    "type": (_is_type, f"one of {', '.join(_TYPES)}, or an array of them"),
    "uniqueItems": (_is_flag, "a boolean"),
}


class _Place(NamedTuple):
    """A schema, or a plain value within one."""

    value: object
    path: str
    depth: int
    is_schema: bool


def schema_problem(schema: object, *, strict: bool = False) -> str | None:
    """What is wrong with `schema`, and where, in words that end a sentence; None for nothing.

    `strict` is OpenAI's: an array has to say what its items are.
    """
    waiting = [_Place(schema, "", 1, is_schema=True)]
    while waiting:
        place = waiting.pop()
        if place.depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep"
        if place.is_schema:
            problem = _look(place, waiting, strict=strict)
            if problem is not None:
                return problem
        else:
            waiting += _within(place, place.value)
    return None


def _look(place: _Place, waiting: list[_Place], *, strict: bool) -> str | None:
    """Check a schema's own keywords; what it holds goes to `waiting`."""
    if isinstance(place.value, bool):
        return None
    if not isinstance(place.value, dict):
        return _wrong(place.path, "a schema (an object or a boolean)")
    schema = cast("dict[str, Any]", place.value)
    if strict and _has_untyped_items(schema):
        return _wrong(f"{_prefix(place.path)}items", "a schema with a type, as 'strict' needs")
    for keyword, value in schema.items():
        path = f"{_prefix(place.path)}{keyword}"
        if keyword in _MAPS:
            if not isinstance(value, dict):
                return _wrong(path, "an object of schemas")
            entries = cast("dict[str, object]", value).items()
            waiting += [_inner(place, inner, f"{path}.{name}") for name, inner in entries]
        elif keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
            if not _is_full_list(value):
                return _wrong(path, "an array of schemas")
            inners = enumerate(cast("list[object]", value))
            waiting += [_inner(place, inner, f"{path}[{at}]") for at, inner in inners]
        elif keyword in _SCHEMAS:
            waiting.append(_inner(place, value, path))
        elif keyword in _VALUES and not _VALUES[keyword][0](value):
            return _wrong(path, _VALUES[keyword][1])
        elif isinstance(value, dict | list):
            waiting.append(_Place(value, path, place.depth + 1, is_schema=False))
    return None


def _within(place: _Place, value: object) -> list[_Place]:
    """The objects and arrays of a plain value."""
    if isinstance(value, dict):
        parts = list(cast("dict[str, object]", value).values())
    else:
        parts = cast("list[object]", value)
    return [
        _Place(part, place.path, place.depth + 1, is_schema=False)
        for part in parts
        if isinstance(part, dict | list)
    ]


def _inner(place: _Place, value: object, path: str) -> _Place:
    return _Place(value, path, place.depth + 1, is_schema=True)


def _has_untyped_items(schema: Mapping[str, Any]) -> bool:
    if schema.get("type") != "array" or schema.get("prefixItems"):
        return False
    items = schema.get("items")
    return not isinstance(items, dict) or _TYPED_BY.isdisjoint(cast("dict[str, Any]", items))


def _prefix(path: str) -> str:
    return f"{path}." if path else ""


def _wrong(path: str, expected: str) -> str:
    where = f"'{path}'" if path else "it"
    return f"{where} has to be {expected}"
