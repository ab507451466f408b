"""The first-token and stall timeouts of one stream, without a timer per read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an upstream may take, in seconds: to connect, to its first token, between two."""

    connect: float
    first_token: float
    stall: float


class Watchdog:
    """Fires when an upstream is silent for too long while someone waits for it.

    Only time spent waiting counts: a slow client, which stops the reading, is not the upstream's
    fault. Only tokens count as progress, not comments. One timer a stream, moved when it comes
    early: a token costs it two clock readings.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._silent = 0.0
        self._seen_token = False
        self._act: Callable[[], None] | None = None
        self.started = self._loop.time()
        self.fired: str | None = None
        """What to tell the client, once it has fired."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def first_deadline(self) -> float:
        """The loop time by which the first token is due."""
        return self.started + self._patience.first_token

    def on_timeout(self, act: Callable[[], None]) -> None:
        """Start watching; `act` ends the wait."""
        self._act = act
        self._silent = self._loop.time() - self.started
        self._timer = self._loop.call_later(
            max(0.0, self._patience.first_token - self._silent), self._check
        )

    def waiting(self) -> None:
        """Someone waits for the upstream from now on."""
        self._waiting_since = self._loop.time()

    def idle(self) -> None:
        """Nobody waits."""
        if self._waiting_since is not None:
            self._silent += self._loop.time() - self._waiting_since
            self._waiting_since = None

    def progress(self) -> None:
        """Tokens came."""
        self._silent = 0.0
        if not self._seen_token:
            self._seen_token = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = self._loop.call_later(self._patience.stall, self._check)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._act = None

    def _check(self) -> None:
        if self._act is None:
            return
        limit = self._patience.stall if self._seen_token else self._patience.first_token
        silent = self._silent
        if self._waiting_since is not None:
            silent += self._loop.time() - self._waiting_since
        if silent < limit:
            self._timer = self._loop.call_later(max(limit - silent, 0.001), self._check)
            return
        self.fired = timeout_message(limit, first=not self._seen_token)
        self._act()


def timeout_message(limit: float, *, first: bool) -> str:
    """What a client is told about a timeout."""
    if first:
        return f"The model provider sent no token within {limit:g} seconds."
    return f"The model provider paused for more than {limit:g} seconds."
