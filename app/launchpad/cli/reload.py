"""The watcher of `launchpad serve --reload`: Python files below the working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from uvicorn.supervisors.statreload import StatReload

__all__ = ["Reload", "folders"]

NOT_OURS = frozenset({"site-packages", "node_modules", "__pycache__"})


class Reload(StatReload):
    """uvicorn's own, but for folders that nobody edits.

    It looks at every file four times a second, and an environment beside the project (`.venv`) has
    ten thousand of them.
    """

    def iter_py_files(self) -> Iterator[Path]:
        """Every file to look at."""
        for root in self.config.reload_dirs:
            for folder, below, files in os.walk(root):
                below[:] = [name for name in below if name[0] != "." and name not in NOT_OURS]
                for name in files:
                    if name.endswith(".py"):
                        yield Path(folder, name)


def folders(target: str | None) -> list[str]:
    """What to watch: the working directory, and where the target's file is if it is elsewhere."""
    here = Path.cwd()
    place = Path((target or "").partition(".py")[0] + ".py").expanduser().resolve().parent
    return [str(here)] if place.is_relative_to(here) else [str(here), str(place)]
