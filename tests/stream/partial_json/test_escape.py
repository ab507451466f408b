import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.partial_json.documents import BOUNDED, cut, strings, styles, values

from launchpad.stream.partial_json.escape import SnapshotEscaper, escape
from launchpad.stream.partial_json.lexer import PartialJson


@BOUNDED
@given(st.text())
def test_escaped_text_reads_back_and_holds_no_line_end(text: str) -> None:
    escaped = escape(text)
    assert msgspec.json.decode(b'"' + escaped + b'"') == text
    assert escaped.decode().splitlines() == ([escaped.decode()] if escaped else [])


@settings(BOUNDED, max_examples=60)
@given(st.data(), values, strings, styles)
def test_growing_snapshots_are_escaped_as_if_each_were_new(
    data: st.DataObject, value: object, word: str, style: dict[str, object]
) -> None:
    document = [value, word * 40, {"key \\": word * 40, "next": value}, value]
    text = json.dumps(document, **style)  # type: ignore[arg-type]
    reader = PartialJson()
    escaper = SnapshotEscaper()
    for delta in data.draw(cut(text)):
        if reader.feed(delta):
            snapshot = reader.snapshot()
            assert escaper.frame(b"<", snapshot, b">") == b"<" + escape(snapshot) + b">"


def test_another_document_is_right_as_well() -> None:
    escaper = SnapshotEscaper()
    for text in ('{"a": "' + "x" * 500 + '"}', "{}", '{"b": "' + "y\n" * 500 + '"}', ""):
        assert escaper.frame(b"", text, b"") == escape(text)
