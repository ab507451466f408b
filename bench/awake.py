"""Cores that wait for their next event awake, not halted.

A core with nothing to do halts. On a virtual machine that gives it back to the host: waking it
costs some 30 µs at each of a request's hops, differently by the minute, and what it had in its
caches may be gone by then. Figures taken so tell more of the host than of a server. Linux keeps
its cores from halting for as long as a process holds `/dev/cpu_dma_latency` open with a latency
of 0 µs in it (the kernel's power/pm_qos_interface), which is what cyclictest does, and tuned's
profile `latency-performance`. Only the device's owner, root, may.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["awake"]

LATENCY = Path("/dev/cpu_dma_latency")


@contextmanager
def awake(device: Path = LATENCY) -> Iterator[bool]:
    """Keep all cores from halting; gives whether the system lets us."""
    try:
        held = os.open(device, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        yield os.write(held, struct.pack("=i", 0)) == struct.calcsize("=i")
    finally:
        os.close(held)
