"""What a person sees while something takes long: a spinner, or plain lines where no terminal is."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["step"]


@contextmanager
def step(doing: str, done: str) -> Generator[None]:
    """Show on stderr that `doing` is under way, then `done` and the seconds it took.

    In a terminal it is a spinner; elsewhere (a log, a pipe) two plain lines. A step that raises
    says nothing: the error will.
    """
    from rich.console import Console  # most processes never show anything

    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    if console.is_terminal:
        with console.status(f"{doing} …"):
            yield
    else:
        console.print(f"{doing} …", soft_wrap=True)
        yield
    console.print(f"{done} ({time.monotonic() - started:.1f} s)", soft_wrap=True, style="dim")
