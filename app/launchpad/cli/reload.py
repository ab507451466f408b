"""The watcher of `launchpad serve --reload`: Python files below the working directory."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from uvicorn.supervisors.statreload import StatReload

__all__ = ["Reload", "folders"]

PATIENCE = 10.0
"""Seconds that a server may take to end its streams, and itself."""
SHORT_LIFE = 1.0
"""Seconds before a server that died is replaced."""
NOT_OURS = frozenset({"site-packages", "node_modules", "__pycache__"})

logger = logging.getLogger("launchpad.server")


class Reload(StatReload):
    """uvicorn's own, but for what it waits for and what it watches.

    A server that does not end is killed; one that died by itself is replaced, unless its start
    failed: then the next change is waited for. uvicorn looks at every file four times a second,
    and an environment beside the project (`.venv`) has ten thousand of them, which nobody edits.
    """

    def should_restart(self) -> list[Path] | None:
        """The files that changed. Called in a loop."""
        changed = super().should_restart()
        code = self.process.exitcode
        if not changed and code is not None and code <= 0:
            logger.warning("the server died (code %s) and is replaced", code)
            if not self.should_exit.wait(SHORT_LIFE):
                self.restart()
        return changed

    def restart(self) -> None:
        """End the server and start another."""
        with self._bounded():
            super().restart()

    def shutdown(self) -> None:
        """End the server."""
        for one in self.sockets:
            one.close()
        with self._bounded():
            super().shutdown()

    @contextmanager
    def _bounded(self) -> Generator[None]:
        late = threading.Timer(PATIENCE, self.process.kill)
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()

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
