"""pydantic's complaints in words that a person, and OpenAI's clients, understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

__all__ = ["Problem", "explain", "param_of"]

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_BOUNDS = {
    "greater_than": ("below_min_value", "a value > {gt}"),
    "greater_than_equal": ("below_min_value", "a value >= {ge}"),
    "less_than": ("above_max_value", "a value < {lt}"),
    "less_than_equal": ("above_max_value", "a value <= {le}"),
}
_DISCRIMINATORS = {"by_role()": "role", "by_type()": "type", "by_choice()": "type"}
_SHAPES = {"by_shape()": "a string or an array", "by_choice()": "a string or an object"}
_NO_OBJECT = frozenset({"dict_type", "model_type", "model_attributes_type"})
_LONGEST_QUOTE = 64


class Problem(NamedTuple):
    """What is wrong, with which parameter, under which of OpenAI's codes."""

    message: str
    param: str | None
    code: str | None


def param_of(location: Sequence[Any]) -> str | None:
    """A pydantic location as OpenAI writes it: `messages[0].content[1].text`."""
    steps = list(location)
    if steps and steps[0] == "body":
        steps = steps[1:]
    param = ""
    for step in steps:
        if isinstance(step, int):
            param += f"[{step}]"
        elif not step.startswith(("@", "[")):
            param += f".{step}" if param else step
    return param or None


def explain(problems: Sequence[Mapping[str, Any]]) -> Problem:
    """The first of pydantic's `errors()`, and how many more there are."""
    if not problems:
        return Problem("The request is not valid.", None, None)
    problem = _explain(problems[0])
    more = len(problems) - 1
    if more:
        noun = "problem" if more == 1 else "problems"
        return problem._replace(message=f"{problem.message} ({more} more {noun}.)")
    return problem


def _explain(error: Mapping[str, Any]) -> Problem:
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    given = error.get("input")
    if kind == "json_invalid":
        reason = context.get("error", "it cannot be parsed")
        return Problem(f"The body is not valid JSON: {reason}.", None, "invalid_json")
    param = context.get("param") or param_of(error["loc"])
    if param is None and kind in _NO_OBJECT:
        return Problem("The body has to be a JSON object.", None, "invalid_type")
    if param is None:
        # What a validator of the whole request says: one of the workflow's own schema, usually.
        return Problem(f"{_reason(error, context)}.", None, context.get("code", "invalid_value"))
    if kind == "missing":
        return _missing(param)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _wrong_variant(kind, param, context, given)
    return _wrong_value(kind, param, context, given) or _invalid(param, error, context)


def _wrong_value(
    kind: str, param: str, context: Mapping[str, Any], given: object
) -> Problem | None:
    if kind in {"literal_error", "enum"}:
        return _unsupported_value(param, given, context["expected"])
    if kind in _EXPECTED:
        return _wrong_type(param, _EXPECTED[kind], given)
    if kind not in _BOUNDS:
        return _wrong_text(kind, param, context, given) or _wrong_length(kind, param, context)
    code, expected = _BOUNDS[kind]
    prefix = "integer" if isinstance(given, int) else "decimal"
    return Problem(
        f"Invalid '{param}': expected {expected.format(**context)}, but got {_quote(given)}.",
        param,
        f"{prefix}_{code}",
    )


def _missing(param: str) -> Problem:
    return Problem(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _wrong_type(param: str, expected: str, given: object) -> Problem:
    return Problem(
        f"Invalid type for '{param}': expected {expected}, but got {_kind(given)} instead.",
        param,
        "invalid_type",
    )


def _unsupported_value(param: str, given: object, expected: str) -> Problem:
    return Problem(
        f"Invalid value for '{param}': {_quote(given)}. Supported values are: {expected}.",
        param,
        "invalid_value",
    )


def _wrong_variant(kind: str, param: str, context: Mapping[str, Any], given: Any) -> Problem:
    """A union whose member is told by a role, a type, or the value's shape."""
    discriminator = context.get("discriminator", "")
    name = _DISCRIMINATORS.get(discriminator)
    if kind == "union_tag_invalid":
        given_name = str(context["tag"]).removeprefix("@")
        expected = context["expected_tags"].replace("'@", "'")
        return _unsupported_value(f"{param}.{name or 'type'}", given_name, expected)
    if name is None or not isinstance(given, Mapping):
        return _wrong_type(param, _SHAPES.get(discriminator, "an object"), cast("object", given))
    if name in given:
        return _wrong_type(f"{param}.{name}", "a string", cast("object", given[name]))
    return _missing(f"{param}.{name}")


def _wrong_text(kind: str, param: str, context: Mapping[str, Any], given: object) -> Problem | None:
    if kind == "string_too_short" and given == "":
        return Problem(f"Invalid '{param}': it is empty.", param, "empty_string")
    if kind == "string_too_short":
        reason = f"expected at least {_characters(context['min_length'])}"
        return Problem(f"Invalid '{param}': {reason}.", param, "string_below_min_length")
    if kind == "string_too_long":
        reason = f"expected at most {_characters(context['max_length'])}"
        return Problem(f"Invalid '{param}': {reason}.", param, "string_above_max_length")
    if kind == "string_pattern_mismatch":
        reason = f"{_quote(given)} does not match the pattern {context['pattern']}"
        return Problem(f"Invalid '{param}': {reason}.", param, "invalid_value")
    return None


def _characters(count: int) -> str:
    return f"{count} character{'s' * (count != 1)}"


def _wrong_length(kind: str, param: str, context: Mapping[str, Any]) -> Problem | None:
    if kind == "too_short" and context.get("actual_length") == 0:
        return Problem(
            f"Invalid '{param}': empty array. Expected at least {context['min_length']} element.",
            param,
            "empty_array",
        )
    return None


def _invalid(param: str, error: Mapping[str, Any], context: Mapping[str, Any]) -> Problem:
    code = context.get("code", "invalid_value")
    return Problem(f"Invalid '{param}': {_reason(error, context)}.", param, code)


def _reason(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    reason = str(context["error"]) if error["type"] == "value_error" else str(error["msg"])
    return reason.rstrip(".")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list | tuple) else "an object"


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 1]}…"
