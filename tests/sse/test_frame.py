import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchpad.sse.frame import (
    DONE,
    HEARTBEAT,
    MAX_LINE,
    data_frame,
    escape_json,
    escape_separators,
    split_text,
)

ANY_TEXT = st.text(st.characters() | st.sampled_from('\u0085\u2028\u2029\ud83d\ude00"\\\n\0'))


def test_a_frame_is_one_data_line_and_a_blank_one():
    assert data_frame(b"{}") == b"data: {}\n\n"
    assert data_frame(b"") == b"data: \n\n"
    assert data_frame(b"[DONE]") == DONE


def test_id_and_event_come_before_the_data():
    frame = data_frame(b"x", event_id="7", event="token")
    assert frame == b"event: token\nid: 7\ndata: x\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_line_of_a_payload_gets_its_own_data_field(end: bytes):
    assert data_frame(b"a" + end + b"b") == b"data: a\ndata: b\n\n"
    assert data_frame(b"a" + end + b"b", event_id="1") == b"id: 1\ndata: a\ndata: b\n\n"


def test_other_unicode_line_separators_do_not_split_a_payload():
    payload = "a\u0085b\u2028c\u2029d\x0b\x0c".encode()
    assert data_frame(payload) == b"data: " + payload + b"\n\n"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_a_field_cannot_be_broken_out_of(value: str):
    with pytest.raises(ValueError, match="no line end"):
        data_frame(b"x", event_id=value)
    with pytest.raises(ValueError, match="no line end"):
        data_frame(b"x", event=value)


def test_the_heartbeat_is_a_comment_that_dispatches_no_event():
    assert HEARTBEAT == b": ping\n"


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\u2029"])
def test_each_of_the_separators_is_escaped_alone(separator: str):
    escaped = f'"é\\u{ord(separator):04x}"'.encode()
    assert escape_json(f"é{separator}") == escaped
    assert escape_separators(f'"é{separator}"'.encode()) == escaped


@given(ANY_TEXT)
def test_escaped_text_is_one_line_for_every_client_and_says_the_same(text: str):
    raw = escape_json(text)
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(raw) == joined
    assert len(raw.decode().splitlines()) == 1


@given(ANY_TEXT.map(lambda text: text.encode("utf-8", "replace").decode()))
def test_separators_are_escaped_in_whole_documents(text: str):
    raw = escape_separators(json.dumps([text], ensure_ascii=False).encode())
    assert json.loads(raw) == [text]
    assert not {"\u0085", "\u2028", "\u2029"} & set(raw.decode())


@given(ANY_TEXT, st.integers(8, 64))
def test_pieces_fit_and_concatenate_to_the_text(text: str, limit: int):
    pieces = split_text(text, limit)
    assert all(pieces), "an empty piece would be a chunk that says nothing"
    assert all(len(escape_json(piece)) <= limit for piece in pieces)
    said = [json.loads(escape_json(piece)) for piece in pieces]
    assert "".join(said) == json.loads(escape_json(text))


def test_a_surrogate_pair_is_never_cut():
    text = "\ud83d\ude00" * 40
    assert "".join(split_text(text, 10)) == "😀" * 40


def test_big_text_is_cut_into_few_pieces():
    assert len(split_text("x" * 1_000_000, MAX_LINE)) == 16
    assert split_text("", MAX_LINE) == []
    assert split_text("x" * 100, MAX_LINE) == ["x" * 100]


def test_a_limit_that_no_character_fits_is_an_error():
    with pytest.raises(ValueError, match="at least 8"):
        split_text("x", 7)
