"""`HugePages`: the heap that a start has made, moved into huge pages while nobody waits."""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

__all__ = ["HUGE", "HugePages", "candidates", "share_in_use"]

logger = logging.getLogger("launchpad.server")

HUGE = 2 * 1024 * 1024
"""Bytes of a huge page."""
MADV_COLLAPSE = 25
"""madvise(2), from Linux 6.1 on: one huge page for a range, now. Memory that comes later stays as
the system has it."""
DENSE = 0.9
"""The share of a huge page that is in use before; the rest of it is memory that it costs."""
MOST = 128
"""Huge pages. A start makes some forty; what a process has beyond this is data of its own."""
LOOKS = 64
"""Places looked at in one step, some 0.02 ms each: much of a process's memory may be empty."""
REFUSALS = 8
"""As many in a row, and the system does not do it."""


class HugePages:
    """Moves this process's heap, one huge page at a time: 0.5 to 5 ms, in which nothing else runs.

    An agent's run goes through more of the heap than a processor keeps the addresses of: with
    some forty huge pages it costs 0.06 to 0.09 ms less. Where the system does not let it (not
    Linux, older than 6.1, no memory in one piece), all stays as it is.
    """

    def __init__(self) -> None:
        self._places: Iterator[int] | None = None
        self._moved = 0
        self._refused = 0

    def move(self, seconds: float) -> bool:
        """Move pages, and look for them, about so long; False where nothing is left to do."""
        until = time.perf_counter() + seconds
        try:
            while self._moved < MOST and self._step():
                if time.perf_counter() >= until:
                    return True
        except Exception:
            # It is not worth a server's life, whatever a system's /proc or a Python lacks.
            logger.debug("the heap stays where it is", exc_info=True)
            return False
        logger.debug("%d MiB of the heap are in huge pages", self._moved * HUGE // 1024 // 1024)
        return False

    def _step(self) -> bool:
        """Move one page, or look for it; False where nothing is left to do."""
        if self._places is None:
            self._places = candidates()
        for _ in range(LOOKS):
            place = next(self._places, None)
            if place is None:
                return False
            if share_in_use(place) >= DENSE:
                return self._move(place)
        return True

    def _move(self, place: int) -> bool:
        madvise = _madvise()
        if madvise is None:
            return False
        # It may be gone since, and then it is one of few.
        moved = madvise(place, HUGE, MADV_COLLAPSE) == 0
        self._moved += moved
        self._refused = 0 if moved else self._refused + 1
        return self._refused < REFUSALS


def candidates() -> Iterator[int]:
    """The addresses in anonymous memory at which a huge page could be. None but on Linux.

    Raises `OSError` where the system does not tell.
    """
    if sys.platform != "linux":
        return
    # Bytes, and these lines only: a mapped file's name may be anything.
    for line in Path("/proc/self/maps").read_bytes().split(b"\n")[:-1]:
        addresses, mode, _, _, _, *name = line.split(maxsplit=5)
        if mode == b"rw-p" and name in ([], [b"[heap]"]):
            start, end = (int(part, 16) for part in addresses.split(b"-"))
            yield from range(-(-start // HUGE) * HUGE, end - HUGE + 1, HUGE)


def share_in_use(place: int) -> float:
    """How much of the huge page at `place` is in memory, from 0 to 1. Raises `OSError`."""
    small = os.sysconf("SC_PAGE_SIZE")
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
        entries = os.pread(pages.fileno(), HUGE // small * 8, place // small * 8)
    # Bit 63: the page is in memory. See the kernel's admin-guide/mm/pagemap.
    flags: tuple[int, ...] = struct.unpack(f"={len(entries) // 8}Q", entries)
    return sum(entry >> 63 for entry in flags) * small / HUGE


def _madvise() -> Callable[[int, int, int], int] | None:
    import ctypes

    madvise: Any = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is not None:
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return cast("Callable[[int, int, int], int] | None", madvise)
