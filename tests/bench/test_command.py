"""`python -m bench` from end to end, on the subjects that need no environment of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_quick_round_gives_table_and_figures(tmp_path: Path) -> None:
    ran = bench(
        *("--quick", "--only", "upstream,bare", "--measure", "one_token,flat"),
        *("--output", str(tmp_path), "--no-plot"),
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    (raw,) = tmp_path.glob("*.json")
    rounds = json.loads(raw.read_text())["rounds"]
    assert len(rounds["bare"]["tokens_per_s"]) == 1
    assert set(rounds["upstream"]) == {
        "first_token_ms",
        "first_token_p99_ms",
        "cpu_ms_per_request",
    }
    (table,) = tmp_path.glob("*.md")
    assert "| bare uvicorn, ready-made bytes |" in table.read_text()


def test_an_unknown_subject_is_named() -> None:
    ran = bench("--only", "nobody")
    assert ran.returncode == 1
    assert "Unknown name 'nobody'" in ran.stderr
