"""Runs the `launchpad` command under cProfile. Args: where the profile goes, then the command's.

The profile is written when the server has ended, so end it with SIGTERM. SIGUSR1 forgets what was
counted so far: what follows is the measurement.
"""

from __future__ import annotations

import cProfile
import signal
import sys
from types import FrameType


def main() -> None:
    """Profile the command until it ends."""
    profile = cProfile.Profile()

    def begin(_number: int, _frame: FrameType | None) -> None:
        profile.disable()
        profile.clear()
        profile.enable()

    signal.signal(signal.SIGUSR1, begin)
    path, sys.argv = sys.argv[1], ["launchpad", *sys.argv[2:]]
    from launchpad.cli import main as launchpad

    profile.enable()
    try:
        launchpad()
    finally:
        profile.disable()
        profile.dump_stats(path)


if __name__ == "__main__":
    main()
