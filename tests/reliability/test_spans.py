"""No span is left open by a client that leaves; retries and fallbacks are in the trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk")


def test_every_span_ends_and_tells() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.spans"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "Failed to detach context" not in done.stderr
    told = json.loads(done.stdout)
    # Not by name: a fallback renames its span.
    assert sum(told["started"].values()) == sum(told["ended"].values())
    assert told["started"]["Talk"] == told["ended"]["Talk"]
    assert told["started"]["Talk"] >= 2
    assert told["events"].count("launchpad.retry") == 1
    assert told["events"].count("launchpad.fallback") == 1
