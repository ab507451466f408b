"""The pure stages cost no more instructions a token than `budget.json` allows.

No clock is involved: `bench.budget` counts what CPython executes, which is the same on a busy
machine. After a change that is worth its price, `python -m bench.budget --record` under each
Python writes the new numbers; the diff shows what it cost.
"""

from __future__ import annotations

import json

import pytest
from bench.budget import BUDGET, count, version
from bench.stages import STAGES, Stage

SLACK = 1.05
"""A library's new release may move a few instructions."""


def allowed(stage: Stage) -> dict[str, float]:
    """This Python's budget; a Python without one gets the most that any other has."""
    budget = json.loads(BUDGET.read_text())
    if version() in budget:
        return budget[version()][stage.name]
    known = [counts[stage.name] for counts in budget.values()]
    return {name: 1.25 * max(counts[name] for counts in known) for name in known[0]}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_keeps_its_budget(stage: Stage) -> None:
    budget = allowed(stage)
    counts = count(stage)
    over = {name: n for name, n in counts.items() if n > budget[name] * SLACK + 0.1}
    assert not over, f"{stage.title}: {over} a token, {budget} allowed"


def test_what_is_counted_does_not_depend_on_chance() -> None:
    encode = next(stage for stage in STAGES if stage.name == "encode")
    assert count(encode) == count(encode)


@pytest.mark.parametrize("name", ["lex", "lex_snapshot", "valid_json", "encode", "read_64"])
def test_a_token_costs_the_same_in_a_long_stream(name: str) -> None:
    stage = next(stage for stage in STAGES if stage.name == name)
    short, long = count(stage, 640), count(stage, 6400)
    assert long["instructions"] <= short["instructions"] * 1.1
