"""What we ask pydantic-ai for that it does not promise to keep.

`tests/models/test_pydantic_ai_private.py` says so when a new version changes them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["private_name"]


def private_name(module: str, name: str) -> Any:
    """`name` of pydantic-ai's private `module`; None where either is gone."""
    try:
        return getattr(import_module(f"pydantic_ai.{module}"), name, None)
    except ImportError:
        return None
