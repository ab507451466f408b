"""What a dialect has to be: the `Encoder` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from launchpad.events import RunEvent, RunFailed

__all__ = ["Encoder", "Failure"]


class Failure(NamedTuple):
    """An HTTP answer in place of a stream: status, extra headers, JSON body."""

    status: int
    headers: dict[str, str]
    body: bytes


@runtime_checkable
class Encoder(Protocol):
    """Turns one run's events into the bytes of one dialect. One encoder serves one response."""

    @property
    def media_type(self) -> str:
        """The response's Content-Type."""
        ...

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """Everything that `events` are on this wire: whole frames, joined; empty for nothing.

        Called with the run's events in order, in batches of any size; the batches' bytes
        concatenate to the stream. After the run's last event, or an error, it returns nothing
        more. Raises `LaunchpadError` where the run cannot be told on this wire; `encode` of the
        `RunFailed` that this makes is then the stream's end.
        """
        ...

    def failure(self, event: RunFailed) -> Failure | None:
        """What to answer where the run failed before `encode` returned any byte.

        None where this dialect tells every failure in its stream.
        """
        ...
