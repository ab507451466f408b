"""What to install where the packages of one of Launchpad's extras are missing."""

from __future__ import annotations

__all__ = ["to_install"]

_OWN: dict[str, tuple[str, ...]] = {
    "local": ("xllamacpp>=2026.10",),
    "langchain": ("langchain-core>=1.7", "langchain-openai>=1.7"),
}
"""The extras of pyproject.toml that are none of pydantic-ai's by the same name."""


def to_install(extra: str) -> str:
    """The command that brings what `extra` asks for, however Launchpad itself was installed.

    It names the packages and not `launchpad[extra]`: PyPI's package of that name is another one.
    """
    packages = _OWN.get(extra, (f"pydantic-ai-slim[{extra}]",))
    return "pip install " + " ".join(f'"{package}"' for package in packages)
