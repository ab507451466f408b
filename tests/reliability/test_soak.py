"""The soak's short form."""

from __future__ import annotations

import sys

import pytest

from .soak import soak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_nothing_is_lost_and_nothing_is_left() -> None:
    table = soak(seconds=6.0, clients=50, seed=20)
    assert table.fine, "\n".join([str(table), *table.wrong[:10]])
    assert table.completed > 50
    assert table.cut > 10
    assert sum(table.errors.values()) > 20
    assert table.after["memory"] < 2 * table.before["memory"], str(table)
