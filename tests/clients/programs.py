"""What a test needs beside Python."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(what: str) -> NoReturn:
    """A program is missing: CI, which installs what it needs, fails; elsewhere it is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; CI is to have it (.ci/run)")
    pytest.skip(what)
