"""Clients that are programs of their own: what they told, and what to do where they are not."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import pytest


def absent(what: str, *, ci_has_it: bool = False) -> NoReturn:
    """Something is missing here: skip, or fail where CI would have had to install it."""
    if ci_has_it and os.environ.get("CI") == "true":
        pytest.fail(f"{what}; .ci/run is to install it")
    pytest.skip(what)


class Told:
    """What a module's scenarios found: the value that each returned, or its exception."""

    def __init__(self, results: dict[str, dict[str, Any]]) -> None:
        self._results = results

    def __getitem__(self, scenario: str) -> Any:
        result = self._results[scenario]
        assert "error" not in result, f"{scenario} threw:\n{result['error']}"
        return result["value"]
