"""Does a JSON value fit a JSON schema? The part of the standard that `schema_values` names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

__all__ = ["conforms", "resolve"]

Schema: TypeAlias = Mapping[str, Any]

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def resolve(root: Schema, schema: Schema) -> Schema:
    """`schema` with its own `$ref` followed and its `allOf` merged in."""
    seen: set[str] = set()
    while "$ref" in schema:
        reference = str(schema["$ref"])
        if reference in seen or not reference.startswith("#"):
            raise ValueError(f"cannot follow the reference {reference!r}")
        seen.add(reference)
        target: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")] if step else target
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**cast("Schema", target), **rest}
    if "allOf" not in schema:
        return schema
    merged: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
    for part in cast("Sequence[Schema]", schema["allOf"]):
        resolved = resolve(root, part)
        properties = {**merged.get("properties", {}), **resolved.get("properties", {})}
        required = [*merged.get("required", ()), *resolved.get("required", ())]
        merged = {**merged, **resolved}
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def conforms(schema: Schema, value: object, root: Schema | None = None) -> bool:
    """Whether `value` is valid for `schema`, whose references point into `root` (or itself).

    `oneOf` is read as `anyOf`.
    """
    root = schema if root is None else root
    schema = resolve(root, schema)
    options = [schema[word] for word in ("anyOf", "oneOf") if word in schema]
    return (
        ("const" not in schema or value == schema["const"])
        and ("enum" not in schema or value in schema["enum"])
        and all(any(conforms(option, value, root) for option in group) for group in options)
        and _has_type(schema.get("type"), value)
        and _within_bounds(schema, value, root)
    )


def _within_bounds(schema: Schema, value: object, root: Schema) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, str):
        return _string_fits(schema, value)
    if isinstance(value, int | float):
        return _number_fits(schema, value)
    if isinstance(value, list):
        return _array_fits(schema, cast("list[object]", value), root)
    return _object_fits(schema, cast("dict[str, object]", value), root)


def _has_type(wanted: object, value: object) -> bool:
    if wanted is None:
        return True
    names = cast("list[str]", wanted) if isinstance(wanted, list) else [str(wanted)]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names if name in TYPES)


def _string_fits(schema: Schema, value: str) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def _number_fits(schema: Schema, value: float) -> bool:
    if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return False
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        return False
    step = schema.get("multipleOf")
    return step is None or abs(value / step - round(value / step)) < 1e-9


def _array_fits(schema: Schema, value: Sequence[object], root: Schema) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    heads: Sequence[Schema] = schema.get("prefixItems", ())
    if not all(conforms(head, item, root) for head, item in zip(heads, value, strict=False)):
        return False
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return True
    return all(conforms(cast("Schema", items), item, root) for item in value[len(heads) :])


def _object_fits(schema: Schema, value: Mapping[str, object], root: Schema) -> bool:
    properties: Mapping[str, object] = schema.get("properties", {})
    if any(name not in value for name in schema.get("required", ())):
        return False
    others: object = schema.get("additionalProperties", True)
    for name, item in value.items():
        rule = properties.get(name, others)
        if rule is False:
            return False
        if isinstance(rule, Mapping) and not conforms(cast("Schema", rule), item, root):
            return False
    return True
