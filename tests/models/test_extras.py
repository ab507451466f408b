"""What messages tell people to install is what the extras of pyproject.toml ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from launchpad.models.extras import to_install
from launchpad.observe.tracing import NO_EXTRA

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
    "project"
]["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"langfuse"}))
def test_the_command_names_the_extras_own_packages(extra: str) -> None:
    assert to_install(extra) == "pip install " + " ".join(f'"{one}"' for one in EXTRAS[extra])


def test_tracing_names_its_own_too() -> None:
    (langfuse,) = EXTRAS["langfuse"]
    assert NO_EXTRA.endswith(f'pip install "{langfuse}"')


def test_nothing_of_ours_leads_to_the_stranger_of_the_same_name() -> None:
    """PyPI's `launchpad` is another project: it must not be what a copied line installs."""
    stranger = re.compile(
        r"""(?:pip install|uv add|dependencies = \[)\s*["'\\]*launchpad(?!.* @ )"""
    )
    for path in (ROOT / "app").rglob("*"):
        if path.suffix in {".py", ".md", ".toml", ".txt"}:
            assert not stranger.search(path.read_text("utf-8")), path
