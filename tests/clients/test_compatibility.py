"""COMPATIBILITY.md says what the tests show, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "COMPATIBILITY.md"
HERE = Path(__file__).parent


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_test_that_it_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", DOCUMENT.read_text(encoding="utf-8"))
    assert named
    for file, name in set(named):
        assert f"def {name}(" in (HERE / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_its_table_and_its_lists_agree() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("## Clients and features")[2].partition("\nThe columns")[0]
    head, _, *rows = [cells(line) for line in table.splitlines() if line.startswith("|")]
    shown = {
        row[0]: [feature for feature, mark in zip(head[1:], row[1:], strict=True) if mark]
        for row in rows
    }
    listed: dict[str, list[str]] = {}
    lists = text.partition("## The test of each cell")[2].partition("\n## ")[0]
    for section in lists.split("\n### ")[1:]:
        client, _, body = section.partition("\n")
        lines = [cells(line) for line in body.splitlines() if line.startswith("|")]
        listed[client] = [feature for feature, _ in lines[2:]]
    assert shown == listed
