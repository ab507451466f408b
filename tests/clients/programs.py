"""Clients that are programs of their own: what they told, and what to do where they are not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest


def absent(what: str, *, ci_has_it: bool = False) -> NoReturn:
    """Something is missing here: skip, or fail where CI would have had to install it."""
    if ci_has_it and os.environ.get("CI") == "true":
        pytest.fail(f"{what}; .ci/run is to install it")
    pytest.skip(what)


def prepare(command: list[str], what: str, *, cwd: Path | None = None, **absence: bool) -> None:
    """Run what installs a client; where it fails, or takes minutes, the client is `absent`."""
    try:
        subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=True)
    except subprocess.TimeoutExpired:
        absent(f"{what}: it takes too long", **absence)
    except subprocess.CalledProcessError as error:
        absent(f"{what}: {error.stderr.strip()[-300:]}", **absence)


class Told:
    """What a module's scenarios found: the value that each returned, or its exception."""

    def __init__(self, results: dict[str, dict[str, Any]]) -> None:
        self._results = results

    def __getitem__(self, scenario: str) -> Any:
        result = self._results[scenario]
        assert "error" not in result, f"{scenario} threw:\n{result['error']}"
        return result["value"]
