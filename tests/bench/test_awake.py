"""Cores are kept from halting where the system lets us."""

from __future__ import annotations

import os
from pathlib import Path

from bench.awake import awake


def test_no_latency_is_asked_for_while_it_is_held(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    os.mkfifo(device)
    reading = os.open(device, os.O_RDONLY | os.O_NONBLOCK)

    with awake(device) as stays_awake:
        assert stays_awake
        assert os.read(reading, 100) == b"\0\0\0\0"

    assert os.read(reading, 100) == b""  # nobody holds it open any more
    os.close(reading)


def test_a_system_that_does_not_let_us_is_measured_as_it_is(tmp_path: Path) -> None:
    with awake(tmp_path / "nowhere" / "latency") as stays_awake:
        assert not stays_awake
