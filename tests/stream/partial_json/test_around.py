"""`DocumentText`: a structured answer without what stands around its document."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai._utils import strip_markdown_fences

from launchpad.stream.partial_json.around import DocumentText

VALUES: st.SearchStrategy[Any] = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.integers() | st.text(st.sampled_from('a`{}[]\n"\\é'), max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ),
    max_size=3,
)
PROSE = st.text(st.sampled_from('ab {}[]"`\n,1'), max_size=12).filter(
    lambda text: "```" not in text and not text.endswith("`") and text.lstrip()[:1] not in '{["'
)


def said(pieces: list[str]) -> tuple[list[str], bool]:
    reader, out = DocumentText(), list[str]()
    for piece in pieces:
        out.append(piece if reader.bare else reader.feed(piece))
    out.append("" if reader.bare else reader.end())
    return out, reader.bare


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@given(VALUES, PROSE, PROSE, st.sampled_from(["", "json", "JSON"]), st.lists(st.integers(0, 300)))
def test_a_fenced_document_is_said_alone(
    value: Any, before: str, after: str, language: str, places: list[int]
) -> None:
    document = json.dumps(value, ensure_ascii=False, indent=1)
    whole = f"{before}```{language}\n{document}\n```{after}"
    assert "".join(said(cut(whole, places))[0]) == document


@given(VALUES, st.sampled_from(["", "\n", " "]), st.lists(st.integers(0, 300)))
def test_an_answer_that_begins_with_its_document_is_said_as_it_comes(
    value: Any, space: str, places: list[int]
) -> None:
    document = json.dumps(value)
    pieces = cut(space + document, places)
    got, bare = said(pieces)
    assert bare
    assert "".join(got) == document
    first = next(at for at, piece in enumerate(pieces) if piece.strip())
    assert got[first + 1 : -1] == pieces[first + 1 :]


def test_it_is_said_while_it_is_made() -> None:
    pieces = ["Here ", "it is:\n``", "`json\n", '{"a', '": "x', 'y"}', "\n`", "``\nBye {", "}"]
    assert said(pieces)[0] == ["", "", "", '{"a', '": "x', 'y"}', "", "", "", ""]


@pytest.mark.parametrize(
    ("whole", "wanted"),
    [
        ("Sorry, I can't.", "Sorry, I can't."),
        ("", ""),
        (" \n", ""),
        ('Sure: {"a": 1}. Bye', '{"a": 1}'),
        ('An example is {"a": 0}.\n```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```python\nx = [1]\n```\n```\n{"a": 1}\n```', '{"a": 1}'),
        ('```json\n{"a": 1', '{"a": 1'),
        ("```json\n", "```json\n"),
        ('```json\n{"a": oops}\n```', '{"a": oops}\n```'),
        ("42", "42"),
        ("```\n{}\n```", "{}"),
    ],
)
def test_examples(whole: str, wanted: str) -> None:
    assert "".join(said([whole])[0]) == wanted
    assert "".join(said(list(whole))[0]) == wanted


@given(st.lists(st.sampled_from(["```", "json", "\n", '{"a": 1}', "{", "}", "x", " "]), max_size=9))
def test_where_pydantic_ai_finds_a_document_it_is_this_one(pieces: list[str]) -> None:
    whole = "".join(pieces)
    found = strip_markdown_fences(whole)
    try:
        json.loads(found)
    except ValueError:
        return
    # A run of more ticks than three, or a fence within a line, is none to the finder.
    if re.search("````|[^\n]```", whole):
        return
    assert json.loads("".join(said(pieces)[0])) == json.loads(found)
