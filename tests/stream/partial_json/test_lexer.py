import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.partial_json.documents import (
    BOUNDED,
    check_growth,
    clean,
    cut,
    objects,
    read,
    styles,
    values,
)

from launchpad.stream.partial_json.lexer import PartialJson


@BOUNDED
@given(st.data(), values, styles)
def test_any_document_cut_anywhere_grows_to_itself(
    data: st.DataObject, value: Any, style: dict[str, Any]
) -> None:
    text = json.dumps(value, **style)
    reader, seen = read(data.draw(cut(text)))
    shown = check_growth(seen)
    assert shown[-1] == clean(value)
    assert json.dumps(shown[-1]) == json.dumps(clean(value))
    assert (reader.complete, reader.error, reader.documents) == (True, False, 1)


@settings(BOUNDED, max_examples=60)
@given(values, styles)
def test_what_is_shown_depends_on_the_text_and_not_on_its_cuts(
    value: Any, style: dict[str, Any]
) -> None:
    text = json.dumps(value, **style)
    one_by_one = PartialJson()
    for end in range(1, len(text) + 1):
        one_by_one.feed(text[end - 1])
        at_once = PartialJson()
        at_once.feed(text[:end])
        assert one_by_one.snapshot() == at_once.snapshot()


PROSE = st.lists(
    st.sampled_from(
        [
            "Here you are:",
            "As [1] and [2, 3] say, {name} is {",
            "[x] {x} [[x]]",
            'a template {"name"} or {}',
            '"Sure," she said.',
            '"Sure',
            "1. First",
            "true, that",
            "`[1]` or `{}` or ``",
            "-",
            "<think>{a: 1}, [a], \\ 😀</think>",
            "nothing",
        ]
    ),
    max_size=4,
).map(" ".join)
FENCES = st.sampled_from([("", ""), ("```json\n", "\n```"), ("```\n", "```"), ("`", "`")])


@BOUNDED
@given(st.data(), PROSE, FENCES, objects, styles, PROSE)
def test_prose_and_fences_are_left_out(
    data: st.DataObject,
    before: str,
    fence: tuple[str, str],
    value: Any,
    style: dict[str, Any],
    after: str,
) -> None:
    document = json.dumps(value, **style)
    text = f"{before}\n{fence[0]}{document}{fence[1]}\n{after}"
    reader, seen = read(data.draw(cut(text)))
    assert check_growth(seen)[-1] == clean(value)
    assert (reader.complete, reader.error, reader.documents) == (True, False, 1)


@BOUNDED
@given(st.data(), values, styles, PROSE)
def test_any_value_in_a_fence_of_its_own(
    data: st.DataObject, value: Any, style: dict[str, Any], after: str
) -> None:
    text = f"Here:\n```json\n{json.dumps(value, **style)}\n```\n{after}"
    _, seen = read(data.draw(cut(text)))
    assert check_growth(seen)[-1] == clean(value)


@BOUNDED
@given(st.data(), st.text(st.sampled_from('{}[]",:1ntrue`\n\\ud8')))
def test_any_text_gives_valid_snapshots(data: st.DataObject, text: str) -> None:
    reader = PartialJson()
    documents = 0
    seen: list[str] = []
    for delta in data.draw(cut(text)):
        if reader.feed(delta):
            if reader.documents != documents:
                documents, seen = reader.documents, []
            seen.append(reader.snapshot())
            json.loads(seen[-1])
            assert len(set(seen)) == len(seen)
    for snapshot in reader.superseded:
        json.loads(snapshot)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": 1, "b": "he', '{"a": 1, "b": "he"}'),
        ('{"a": [1, 2', '{"a": [1]}'),
        ('{"a": 1', "{}"),
        ('{"a": 1e', "{}"),
        ('{"a": 1e5,', '{"a": 1e5}'),
        ('{"a": tru', "{}"),
        ('{"a": true', '{"a": true}'),
        ('{"a": 1, "b', '{"a": 1}'),
        ('{"a": 1, "b":', '{"a": 1}'),
        ('{"a": {', '{"a": {}}'),
        ('{"a": [{"b": [', '{"a": [{"b": []}]}'),
        ('{"a": "', '{"a": ""}'),
        ('{"a": "x\\', '{"a": "x"}'),
        ('{"a": "x\\u00e', '{"a": "x"}'),
        ('{"a": "x\\ud83d', '{"a": "x"}'),
        ('{"a": "x\\ud83d\\ude0', '{"a": "x"}'),
        ('{"a": "x\\ud83d\\ude00', '{"a": "x\\ud83d\\ude00"}'),
        ('{"a": "x\\ud83dy', '{"a": "x\\ufffdy"}'),
        ('{"a": "x\ud83d', '{"a": "x"}'),
        ('{"a": "x\ude00', '{"a": "x\\ufffd"}'),
        ('{\n  "a" : 1 ,\n  "b" : [ ]\n}', '{"a": 1, "b": []}'),
        ('{"a":1,"b":[]}', '{"a":1,"b":[]}'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ('\ufeff {"a": 1}', '{"a": 1}'),
        ('{"a": 1} and so on }]"', '{"a": 1}'),
        ("", ""),
        ("no JSON at all", ""),
        ("{", ""),
        ('{"', ""),
        ('["', '[""]'),
        ("[1, 2, 3]", ""),
        ("42", ""),
    ],
)
def test_snapshot_of_a_beginning(text: str, shown: str) -> None:
    reader = PartialJson()
    reader.feed(text)
    assert reader.snapshot() == shown
    assert reader.started is bool(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("42", "42"),
        (" -1.5e-3\n", "-1.5e-3"),
        ("true", "true"),
        ('"a \\" b"', '"a \\" b"'),
        ("[1, 2, 3]", "[1, 2, 3]"),
        ("[1, 2", "[1]"),
        ("{}", "{}"),
        ("{", "{}"),
        ("```json\n[1]\n```", "[1]"),
        ("```json\n[1]\n``` is it", "[1]"),
        ("[1] is it", "[1]"),
        ("[]\nNo items were found.", "[]"),
        ("{}\nDone.", "{}"),
        ("[1,2]\nDone.", "[1,2]"),
        ("[true] ok", "[true]"),
        ("[{}]\nDone", "[{}]"),
        ("[1] and {}", "[1]"),
        ("[]\nor [1]\n```\n[2] here\n```", "[]"),
        ("[]\n```\n[2]", "[2]"),
        ("as in [1] only", ""),
        ("[ ] to do", "[]"),
        ("[x] done", ""),
        ("42 is it", ""),
        ("true, that", ""),
        ("as in [1]", ""),
        ("as in {}", "{}"),
        ("{} or {}\n", "{}"),
        ("as in {} here", ""),
        ('"cut', ""),
        ("1e", ""),
        ("01", ""),
        ("nul", ""),
        ("NaN", ""),
    ],
)
def test_a_value_that_stands_alone_is_shown_at_the_end(text: str, shown: str) -> None:
    for deltas in ([text], list(text)):
        reader, seen = read(deltas)
        assert reader.snapshot() == shown
        assert seen == ([shown] if shown else [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a": 1 "b": 2}', '{"a": 1}'),
        ('{"a": 01}', "{}"),
        ('{"a": 1x}', "{}"),
        ('{"a": +1}', "{}"),
        ('{"a": truth}', "{}"),
        ('{"a": "x\ny"}', '{"a": "x"}'),
        ('{"a": "x\\q"}', '{"a": "x"}'),
        ('{"a": "x\\ud83d\\uzz"}', '{"a": "x\\ufffd"}'),
        ('{"a": [1, 2}', '{"a": [1, 2]}'),
        ('{"a": [1,]}', '{"a": [1]}'),
        ('{"a": 1, }', '{"a": 1}'),
        ('{"a": NaN}', "{}"),
        ("{\"a\": 'x'}", "{}"),
        ('["a" "b"]', '["a"]'),
    ],
)
def test_what_is_not_json_ends_the_reading(text: str, shown: str) -> None:
    for deltas in ([text], list(text), [text, ' {"later": 1}'], [*text, ' {"later": 1}']):
        reader, seen = read(deltas)
        check_growth(seen)
        assert reader.snapshot() == shown
        assert reader.error
        assert not reader.complete


@pytest.mark.parametrize("first", ["[1]", "{}", "[{}]", "[1, [2, 3]]"])
@pytest.mark.parametrize("between", [" says:\n", "\n", "\n```json\n"])
@settings(BOUNDED, max_examples=20)
@given(st.data(), objects, styles)
def test_what_began_alone_gives_way_to_a_better_document(
    first: str, between: str, data: st.DataObject, value: Any, style: dict[str, Any]
) -> None:
    text = f"{first}{between}{json.dumps(value, **style)}\nDone."
    reader, seen = read(data.draw(cut(text)))
    assert check_growth(seen)[-1] == clean(value)
    assert (reader.complete, reader.error, reader.documents) == (True, False, 1)


def test_a_later_document_starts_anew() -> None:
    text = '{"a": 1}\n{"b": {"c": 2}} and\n```json\n{"d": "x"}\n```'
    reader, seen = read(list(text))
    assert seen == [
        "{}",
        '{"a": 1}',
        "{}",
        '{"b": {}}',
        '{"b": {"c": 2}}',
        "{}",
        '{"d": ""}',
        '{"d": "x"}',
    ]
    assert reader.documents == 3
    assert reader.superseded == ['{"a": 1}', '{"b": {"c": 2}}']
    at_once, _ = read([text])
    assert at_once.superseded == reader.superseded


@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_deep_nesting_needs_no_stack_of_ours(size: int) -> None:
    depth = 20_000
    text = '[{"a":' * depth
    reader = PartialJson()
    for start in range(0, len(text), size):
        reader.feed(text[start : start + size])
    assert reader.snapshot() == "[{" + '"a":[{' * (depth - 1) + "}]" * depth
    reader.feed("1" + "}]" * depth)
    assert reader.complete
    assert reader.snapshot() == text + "1" + "}]" * depth


def test_a_snapshot_comes_with_its_sizes() -> None:
    text = '{"k\\"": ["é\x85\u2028\u2029", "😀\\n", {"x": "open \\'
    reader = PartialJson()
    for char in text:
        reader.feed(char)
        snapshot = reader.snapshot()
        escaped = json.dumps(snapshot, ensure_ascii=False)[1:-1]
        for separator in "\x85\u2028\u2029":
            escaped = escaped.replace(separator, f"\\u{ord(separator):04x}")
        assert reader.sized_snapshot() == (
            snapshot,
            len(snapshot.encode()),
            len(escaped.encode()),
        )
