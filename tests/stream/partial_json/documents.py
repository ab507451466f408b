"""JSON documents, ways to write and to cut them, and what it means that a snapshot grows."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from launchpad.stream.partial_json.lexer import PartialJson

BOUNDED = settings(max_examples=100, deadline=None, database=None, derandomize=True)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**40, max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_any_character = st.characters(exclude_categories=())
_tricky = st.sampled_from(["\\", '"', "\n", "\u2028", "\x85", "😀", "\x00", "/", "é", "\ufeff"])
strings = st.text() | st.text(_any_character | _tricky) | st.text(_tricky)
values = st.recursive(
    _scalars | strings,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=25,
)
objects = st.dictionaries(st.text(), values, min_size=1, max_size=6)
styles = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, None, 0, 2, "\t"]),
        "separators": st.sampled_from([None, (",", ":"), (" ,\r\n", " :  ")]),
        "ensure_ascii": st.booleans(),
    }
)


def clean(value: Any) -> Any:
    """The value as a snapshot may show it: no lone surrogates."""
    if isinstance(value, str):
        joined = re.sub(
            "[\ud800-\udbff][\udc00-\udfff]",
            lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"),
            value,
        )
        return re.sub("[\ud800-\udfff]", "\ufffd", joined)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    return value


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """The text in deltas: one by one, alike, or anywhere."""
    size = draw(st.sampled_from([1, 2, 3, 4, 7, None]))
    if size:
        return [text[start : start + size] for start in range(0, len(text), size)]
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def read(deltas: list[str]) -> tuple[PartialJson, list[str]]:
    """The reader after all deltas and the end, and every snapshot on the way."""
    reader = PartialJson()
    seen = [reader.snapshot() for delta in deltas if reader.feed(delta)]
    if reader.finish():
        seen.append(reader.snapshot())
    return reader, seen


def extends(old: Any, new: Any) -> bool:
    """Whether `new` shows all that `old` shows: only what was last in `old` may have grown.

    A string grows at its end, an array by elements after the last, an object by keys after
    the last; the last element or value may itself have grown; all else is the same.
    """
    if type(old) is not type(new):
        return False
    if isinstance(old, str):
        return new.startswith(old)
    if isinstance(old, dict):
        if list(new)[: len(old)] != list(old):
            return False
        old, new = list(old.values()), list(new.values())
    if isinstance(old, list):
        if not old:
            return True
        last = len(old) - 1
        return len(new) > last and old[:last] == new[:last] and extends(old[last], new[last])
    return bool(old == new)


def check_growth(seen: list[str]) -> list[Any]:
    """Assert that each snapshot is valid, encodable, and more than the one before."""
    shown = []
    for text in seen:
        text.encode()
        shown.append(json.loads(text))
    for old, new in itertools.pairwise(shown):
        assert extends(old, new), (old, new)
        assert old != new
    return shown
