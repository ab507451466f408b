"""Whether a client's JSON schema is one in shape, before a model is asked with it.

Not whether it makes sense: references are not followed, patterns not compiled, unknown keywords
pass, and what strict mode wants is for those to say who have it. Source: JSON Schema 2020-12, and
the older `definitions` and lists in `items`.
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
    return bool(names) and all(name in _TYPES for name in names)


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
    """A schema, or a plain value within one, and what stands around it."""

    value: Any
    steps: tuple[str, ...] = ()
    """From the schema around it to here."""
    around: _Place | None = None
    depth: int = 1
    is_schema: bool = True

    def inner(self, value: Any, *steps: str, is_schema: bool = True) -> _Place:
        return _Place(value, steps, self, self.depth + 1, is_schema)

    def path(self, *steps: str) -> str:
        # Only made for an error: a long name around many would be copied for each of them.
        place: _Place | None = self
        while place is not None:
            steps = (*place.steps, *steps)
            place = place.around
        return "".join(steps).removeprefix(".")


class _WrongError(Exception):
    """Says what is wrong, and where."""


def schema_problem(schema: object) -> str | None:
    """What is wrong with `schema`, and where, in words that end a sentence; None for nothing."""
    waiting = [_Place(schema)]
    try:
        while waiting:
            place = waiting.pop()
            if place.depth > MAX_DEPTH:
                return f"it is nested more than {MAX_DEPTH} levels deep"
            waiting += _parts(place) if place.is_schema else _within(place)
    except _WrongError as wrong:
        return str(wrong)
    return None


def _parts(place: _Place) -> list[_Place]:
    """What stands in a schema whose own keywords are right; raises `_WrongError`."""
    if isinstance(place.value, bool):
        return []
    if not isinstance(place.value, dict):
        raise _wrong(place, "a schema (an object or a boolean)")
    schema = cast("dict[str, Any]", place.value)
    parts: list[_Place] = []
    for keyword, value in schema.items():
        step = f".{keyword}"
        if keyword in _MAPS:
            if not isinstance(value, dict):
                raise _wrong(place, "an object of schemas", step)
            entries = cast("dict[str, Any]", value).items()
            parts += [place.inner(inner, step, f".{name}") for name, inner in entries]
        elif keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
            inners = cast("list[object]", value) if isinstance(value, list) else []
            if not inners:
                raise _wrong(place, "an array of schemas", step)
            parts += [place.inner(inner, step, f"[{at}]") for at, inner in enumerate(inners)]
        elif keyword in _SCHEMAS:
            parts.append(place.inner(value, step))
        elif keyword in _VALUES and not _VALUES[keyword][0](value):
            raise _wrong(place, _VALUES[keyword][1], step)
        elif isinstance(value, dict | list):
            parts.append(place.inner(value, step, is_schema=False))
    return parts


def _within(place: _Place) -> list[_Place]:
    """The objects and arrays of a plain value."""
    if isinstance(place.value, dict):
        parts = list(cast("dict[str, Any]", place.value).values())
    else:
        parts = cast("list[Any]", place.value)
    return [place.inner(part, is_schema=False) for part in parts if isinstance(part, dict | list)]


def _wrong(place: _Place, expected: str, *steps: str) -> _WrongError:
    path = place.path(*steps)
    where = f"'{path}'" if path else "it"
    return _WrongError(f"{where} has to be {expected}")
