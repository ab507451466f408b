"""When a server looks for garbage: hardly while it starts, and then not in what that made."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

__all__ = ["settle", "starting"]

_START = (1_000_000, 10, 10)
"""Objects made before the first look, and two more steps. A start makes some 250,000, a thousand of
them garbage; one that makes so many more is to be looked through."""

_SERVING = (5_000, 20, 50) if sys.version_info >= (3, 14) else (5_000, 1, 500)
"""The same while it serves. What five hundred streams make in a second is too much for one look,
which stops them all for 0.05 s: each survivor of two first looks is given its second one soon. From
Python 3.14 on the second number is another: the share of older objects that a look takes in."""


@contextmanager
def starting() -> Generator[None]:
    """Import and build without looking for garbage, which takes an eighth of the imports' time.

    It ends with the block, or before it where the server settles.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_START)
    try:
        yield
    finally:
        if gc.get_threshold() == _START:
            gc.set_threshold(*before)


@cache
def settle() -> None:
    """Leave what the start has made out of every later look, and look less often.

    pydantic-ai alone makes some 300,000 objects that live as long as the process. Looking through
    them again and again costs an agent's run 0.4 ms of its 2.9. Once is needed, 0.07 s: what a
    module has left behind in a cycle, with all that it has open, would stay for good.

    Once a process: tests start one server after the other, and would keep each one's garbage. Not
    where the collector is off; thresholds that are set higher stay.
    """
    if not gc.isenabled():
        return
    gc.collect()
    gc.freeze()
    threshold = gc.get_threshold()
    if threshold == _START or threshold[0] < _SERVING[0]:
        gc.set_threshold(*_SERVING)
