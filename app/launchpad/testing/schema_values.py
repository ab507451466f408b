"""JSON Schema, as far as the scripted model needs it: make a value, check a value.

Covers what pydantic and the OpenAI and pydantic-ai clients write: `$ref`, `anyOf`/`oneOf`/
`allOf`, `enum`, `const`, objects, arrays, tuples, the bounds of strings and numbers. A keyword
outside this set is ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from launchpad.testing.schema_check import conforms, resolve

__all__ = ["Schema", "conforms", "example", "strict_problem"]

Schema: TypeAlias = Mapping[str, Any]
"""A JSON schema, decoded."""

LONGEST_EXAMPLE = 80
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "7f3d2c1a-0b9e-4d8c-a7b6-5e4f3d2c1b0a",
}
TRIED_AGAINST_PATTERNS = (
    *("a", "A", "1", "0", "aa", "AA", "ab1", "Ab1", "a-b", "a_b", "1.0", "12", "123", "1234", "-"),
    *("12345", "123456", "ABC", "ABC-123", "AB12", "+441234567890", "123-4567", "#ffffff"),
)


def example(schema: Schema, text: str) -> Any:
    """A small value that is valid for `schema`; free strings say `text`, shortened.

    Raises `ValueError` where this module cannot make one (a pattern it cannot satisfy, bounds
    that contradict each other).
    """
    value = _Maker(schema, text[:LONGEST_EXAMPLE] or "example").make(schema, ())
    if not conforms(schema, value):
        raise ValueError(f"no example found for the schema {dict(schema)!r}")
    return value


class _Maker:
    def __init__(self, root: Schema, text: str) -> None:
        self.root = root
        self.text = text

    def make(self, schema: Schema, refs: tuple[str, ...]) -> Any:
        if "$ref" in schema:
            refs = (*refs, str(schema["$ref"]))
        schema = resolve(self.root, schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.make(self._option(schema[word], refs), refs)
        return self._plain(self._kind(schema), schema, refs)

    def _plain(self, kind: str, schema: Schema, refs: tuple[str, ...]) -> Any:
        match kind:
            case "object":
                return self._object(schema, refs)
            case "array":
                return self._array(schema, refs)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean" | "null":
                return True if kind == "boolean" else None
            case _:
                return self._string(schema)

    def _option(self, options: Sequence[Schema], refs: tuple[str, ...]) -> Schema:
        """The first that does not lead back into a schema that is being made."""
        return next((option for option in options if option.get("$ref") not in refs), options[0])

    def _kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = [name for name in cast("list[str]", kind) if name != "null"]
            return kinds[0] if kinds else "null"
        if isinstance(kind, str):
            return kind
        if "properties" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: Schema, refs: tuple[str, ...]) -> dict[str, Any]:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        required: Sequence[str] = schema.get("required", ())
        return {name: self.make(properties.get(name, {}), refs) for name in required}

    def _array(self, schema: Schema, refs: tuple[str, ...]) -> list[Any]:
        heads: Sequence[Schema] = schema.get("prefixItems", ())
        values = [self.make(head, refs) for head in heads]
        items = schema.get("items")
        if isinstance(items, Mapping):
            item = cast("Schema", items)
            circular = item.get("$ref") in refs
            fewest = max(int(schema.get("minItems", 0)), 0 if heads or circular else 1)
            wanted = min(fewest, int(schema.get("maxItems", fewest)))
            values += [self.make(item, refs) for _ in range(wanted - len(values))]
        return values

    def _string(self, schema: Schema) -> str:
        if "pattern" in schema:
            pattern = re.compile(schema["pattern"])
            tried = (self.text, *TRIED_AGAINST_PATTERNS, *FORMATS.values())
            fitting = (
                value for value in tried if pattern.search(value) and conforms(schema, value)
            )
            return next(fitting, "")
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        shortest = int(schema.get("minLength", 0))
        text = self.text * math.ceil(shortest / len(self.text)) if shortest else self.text
        return text[: int(schema.get("maxLength", max(len(self.text), shortest)))]


def _number(schema: Schema, *, whole: bool) -> float:
    step: float = schema.get("multipleOf") or (1 if whole else 0)
    low: float | None = schema.get("minimum", schema.get("exclusiveMinimum"))
    high: float | None = schema.get("maximum", schema.get("exclusiveMaximum"))
    tried: list[float] = [step or 1]
    if low is not None:
        tried += [math.ceil(low / step) * step, math.ceil(low / step) * step + step] if step else []
        tried += [low, low + 1]
    if high is not None:
        tried += [math.floor(high / step) * step - step] if step else []
        tried += [high, high - 1, (high + (high if low is None else low)) / 2]
    fitting = (value for value in tried if conforms({**schema, "type": "number"}, value))
    value = next(fitting, step or 1)
    return int(value) if whole else value


def strict_problem(schema: Schema) -> str | None:
    """What OpenAI's strict mode would refuse in `schema`, or None.

    The two rules that clients meet: every object forbids additional properties and requires all
    of its own (https://platform.openai.com/docs/guides/structured-outputs).
    """
    for part in _objects(schema):
        names: Mapping[str, Any] = part.get("properties", {})
        if part.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false."
        missing = set(names) - set(part.get("required", ()))
        if missing:
            return f"'required' must include every key of properties. Missing: {min(missing)!r}."
    return None


def _objects(node: object) -> Iterator[Schema]:
    """Every object schema in `node`; a property that is called "properties" is no keyword."""
    if isinstance(node, Mapping):
        schema = cast("Schema", node)
        if schema.get("type") == "object":
            yield schema
        for word in ("properties", "$defs", "definitions"):
            named: Mapping[str, object] = schema.get(word, {})
            for value in named.values():
                yield from _objects(value)
        for word in ("items", "anyOf", "oneOf", "allOf", "prefixItems"):
            yield from _objects(schema.get(word))
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from _objects(value)
