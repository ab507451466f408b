"""The heap in huge pages: what is moved, and when."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import re
import sys
from pathlib import Path

import pytest
from uvicorn.server import ServerState

from launchpad.server.graceful import Idle
from launchpad.server.huge_pages import DENSE, HUGE, HugePages, candidates, share_in_use

from .conftest import Serve

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _collapses() -> bool:
    """Whether this system moves memory into huge pages on request."""
    with mmap.mmap(-1, 4 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = b"x" * len(memory)
        start = ctypes.addressof(anchor := ctypes.c_char.from_buffer(memory))
        del anchor
        try:
            memory.madvise(25, -start % HUGE, HUGE)
        except OSError:
            return False
    return True


@on_linux
def test_only_memory_that_is_in_use_counts() -> None:
    with mmap.mmap(-1, 4 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        start = ctypes.addressof(anchor := ctypes.c_char.from_buffer(memory))
        del anchor
        inside = [place for place in candidates() if start <= place < start + 4 * HUGE]
        assert len(inside) >= 3
        assert all(place % HUGE == 0 for place in inside)
        assert share_in_use(inside[0]) < DENSE
        first = inside[0] - start
        memory[first : first + HUGE] = b"x" * HUGE
        assert share_in_use(inside[0]) == 1


@on_linux
def test_no_file_counts_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x80\xa8rw-p [heap]")
    path.write_bytes(b"x" * 4 * HUGE)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE) as memory:
        start = ctypes.addressof(anchor := ctypes.c_char.from_buffer(memory))
        del anchor
        assert not [place for place in candidates() if start <= place < start + 4 * HUGE]
        assert list(candidates())


def test_it_comes_to_an_end_and_costs_no_life() -> None:
    pages, times = HugePages(), 0
    while pages.move(0.0):
        times += 1
        assert times < 100_000
    assert not pages.move(1.0)


@on_linux
@pytest.mark.skipif(not _collapses(), reason="Linux before 6.1, or no memory in one piece")
def test_an_idle_server_moves_its_heap(flows: Path, serve: Serve) -> None:
    served = serve("flows.py", LAUNCHPAD_LOG_LEVEL="debug")
    moved = int(served.wait_for(r"(\d+) MiB of the heap are in huge pages")[1])
    assert moved > 0
    rollup = Path(f"/proc/{served.process.pid}/smaps_rollup").read_text()
    found = re.search(r"AnonHugePages:\s+(\d+) kB", rollup)
    assert found is not None
    # The kernel may have split one again where its memory was freed since.
    assert int(found[1]) >= moved * 1024 // 2
    assert served.ask("still here").startswith("still here")
    assert served.end() == 0


def test_a_server_is_idle_while_nobody_asks() -> None:
    async def ticks() -> list[int]:
        state, idle = ServerState(), Idle()
        seen = [idle.ticks(state), idle.ticks(state)]
        task = asyncio.create_task(asyncio.sleep(60))
        state.tasks.add(task)
        seen.append(idle.ticks(state))
        task.cancel()
        state.tasks.clear()
        seen.append(idle.ticks(state))
        state.total_requests += 1
        return [*seen, idle.ticks(state), idle.ticks(state)]

    assert asyncio.run(ticks()) == [1, 2, 0, 1, 0, 1]
