"""What a stage costs in instructions: the same number on every machine, however busy it is.

Counted are the bytecode instructions that CPython runs and the calls it makes into C, a token,
by the interpreter's own tracing. Work inside C shows only as its calls. The numbers differ
between Python versions, so `tests/bench/budget.json` holds one set for each.

Run: `python -m bench.budget` prints them, `--record` writes them into the budget.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction

from bench.stages import STAGES, Stage

__all__ = ["BUDGET", "count", "version"]

BUDGET = Path(__file__).resolve().parent.parent / "tests" / "bench" / "budget.json"
TOKENS = 640

Counts = dict[str, float]


def version() -> str:
    """The running Python's key in the budget."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def count(stage: Stage, tokens: int = TOKENS) -> Counts:
    """`instructions` and `c_calls` of one token in this stage, warmed up."""
    # Python 3.12 sees no instruction of code that was not traced before; so, once for nothing.
    _instructions(stage.prepare(tokens))
    run = stage.prepare(tokens)
    return {
        "instructions": round(_instructions(run) / tokens, 2),
        "c_calls": round(_c_calls(run) / tokens, 2),
    }


def _instructions(run: Callable[[], object]) -> int:
    total = 0

    def trace(frame: FrameType, kind: str, _argument: object) -> TraceFunction:
        nonlocal total
        if kind == "call":
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif kind == "opcode":
            total += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return total


def _c_calls(run: Callable[[], object]) -> int:
    total = 0

    def profile(_frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal total
        if kind == "c_call":
            total += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return total


def main() -> None:
    """Print the counts, or record them for the running Python."""
    parser = argparse.ArgumentParser(prog="bench.budget", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write them into the budget")
    counts = {stage.name: count(stage) for stage in STAGES}
    for name, found in counts.items():
        print(
            f"{name:<14} {found['instructions']:8.1f} instructions {found['c_calls']:6.1f} C calls"
        )
    if parser.parse_args().record:
        budget = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
        budget[version()] = counts
        BUDGET.write_text(json.dumps(dict(sorted(budget.items())), indent=2) + "\n")


if __name__ == "__main__":
    main()
