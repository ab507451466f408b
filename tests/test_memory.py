"""What a started app does to its process's garbage collector, in processes of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc
{before}
from starlette.testclient import TestClient
from launchpad.api.app import create_app
{app}
counts = []
for _ in range(2):
    with TestClient(create_app()) as client:
        client.get("/health").raise_for_status()
        kept = [[] for _ in range(10_000)]
        counts.append(gc.get_freeze_count())
print(counts[0] > 10_000, counts[0] >= counts[1], gc.get_threshold()[0])
"""

GUEST = """
from fastapi import FastAPI
from launchpad.api.router import create_router
def create_app():
    app = FastAPI()
    app.include_router(create_router())
    return app
"""


@pytest.mark.parametrize(
    ("before", "app", "seen"),
    [
        ("", "", "True True 5000"),
        ("gc.set_threshold(90_000)", "", "True True 90000"),
        ("gc.disable()", "", "False True {default}"),
        ("", GUEST, "False True {default}"),
    ],
    ids=["as it comes", "with a threshold of its own", "without a collector", "as a guest"],
)
def test_what_an_app_s_start_made_is_looked_through_once(before: str, app: str, seen: str) -> None:
    default = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold()[0])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    program = PROGRAM.format(before=before, app=app)
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == seen.format(default=default)
