"""The process's file descriptors: the first three, how many there may be, and when none is left."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from contextlib import suppress

from launchpad.settings import Settings

__all__ = ["Spare", "allow_for", "fill_standard"]

WANTED = 65_536
"""Descriptors that a server asks for, where its limits on runs need no more."""
BESIDE = 128
"""Descriptors beside those of runs: files, pipes, idle connections."""
QUIET = 10.0
"""Seconds between two lines about the same lack."""

logger = logging.getLogger("launchpad.server")


def fill_standard() -> None:
    """Open the null device for each of stdin, stdout and stderr that this process was not given.

    A socket would get its number, and libuv, which leaves those three alone, ends the process when
    it is closed. Call it before anything else is opened.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def allow_for(settings: Settings) -> None:
    """Raise the limit on open files as far as it may be; say so where that is not enough.

    Each run takes two: its client's connection and its upstream's. Processes that this one starts
    inherit the limit. Where there is none (Windows), nothing happens.
    """
    try:
        import resource
    except ImportError:
        return
    runs = settings.max_concurrent_runs
    needed = 2 * runs + settings.max_queued_runs + BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if one == resource.RLIM_INFINITY else one for one in (soft, hard))
    for wanted in (min(hard, max(WANTED, needed)), min(hard, needed)):
        if soft < wanted:
            # macOS has a lower limit of its own, which it does not tell here.
            with suppress(ValueError, OSError):
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
                soft = wanted
    if soft < needed:
        logger.warning(
            "this process may open %d files and connections, and LAUNCHPAD_MAX_CONCURRENT_RUNS=%d "
            "and LAUNCHPAD_MAX_QUEUED_RUNS=%d can need %d: raise the limit (ulimit -Hn, systemd's "
            "LimitNOFILE, docker's --ulimit nofile), or lower these",
            soft,
            runs,
            settings.max_queued_runs,
            needed,
        )


class Spare:
    """Looks whether the process could open another file, as each connection needs it to.

    Where it cannot, libuv closes new connections at once, without a word to anybody.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def look(self) -> None:
        """Say it in the log where there is none, once every `QUIET` seconds."""
        try:
            os.close(os.dup(2))
        except OSError as error:
            now = time.monotonic()
            if error.errno not in {errno.EMFILE, errno.ENFILE} or now < self._quiet_until:
                return
            self._quiet_until = now + QUIET
            logger.warning(
                "no file descriptor is left (%s): new connections, of clients and to upstreams, "
                "fail. Raise the limit on open files (ulimit -n), or lower "
                "LAUNCHPAD_MAX_CONCURRENT_RUNS",
                errno.errorcode[error.errno],
            )
