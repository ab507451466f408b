"""Options travel as environment variables, so that workers and reloads read the same."""

from __future__ import annotations

import os

from launchpad.settings import Settings

__all__ = ["TARGET_VARIABLE", "export"]

TARGET_VARIABLE = "LAUNCHPAD_TARGET"


def export(settings: Settings, target: str | None) -> None:
    """Put the options and the target into this process's environment."""
    for name in ("host", "port", "log_level", "model", "allow_unauthenticated", "workers"):
        os.environ[f"LAUNCHPAD_{name.upper()}"] = str(getattr(settings, name))
    if target is None:
        os.environ.pop(TARGET_VARIABLE, None)
    else:
        os.environ[TARGET_VARIABLE] = target
