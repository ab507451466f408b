"""The first-token and stall timeouts of one stream, without a timer per read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launchpad.timer import Timer

if TYPE_CHECKING:
    from launchpad.settings import Settings

GRACE = 2.0
"""After the finish reason, how many seconds of silence end the answer: its token counts follow."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an upstream may take, in seconds: to connect, to its first token, between two."""

    connect: float
    first_token: float
    stall: float

    @property
    def whole_answer(self) -> float:
        """How long an answer that comes in one piece may take: nobody sees its tokens."""
        return self.first_token + self.stall


def patience_of(settings: Settings) -> Patience:
    """What the settings allow."""
    return Patience(settings.connect_timeout, settings.first_token_timeout, settings.stall_timeout)


def patience_for(timeout: object, default: Patience) -> Patience:
    """The request's own timeout (`ModelSettings.timeout`) in place of the settings'.

    A number of seconds, or an `httpx2.Timeout`, whose `None`s leave the settings' as they are.
    """
    if timeout is None:
        return default
    if isinstance(timeout, int | float):
        return Patience(min(timeout, default.connect), timeout, timeout)
    connect, read = getattr(timeout, "connect", None), getattr(timeout, "read", None)
    return Patience(connect or default.connect, read or default.first_token, read or default.stall)


class Watchdog:
    """Fires when an upstream is silent for too long while someone waits for it.

    Only time spent waiting counts: a slow client, which stops the reading, is not the upstream's
    fault. Only tokens count as progress, not comments. A stream has one timer, which looks at the
    clock when it comes and is set anew where it came too early; a token costs two clock readings.
    Tokens that came while the loop stood still are read before it looks: see `Timer`.
    An answer that has its finish reason is complete: silence after it ends it, and is no failure.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = self._loop.time()
        self._silent = 0.0
        self._seen_token = False
        self._act: Callable[[], None] | None = None
        self.fired: str | None = None
        """What to tell the client, once it has fired."""
        self.lapsed = False
        """It fired after the finish reason: there is nothing to tell, and nothing more to read."""
        self._grace: float | None = None
        shortest = min(patience.first_token, patience.stall)
        self._timer: Timer | None = Timer(self._loop, shortest, self._check)

    def on_timeout(self, act: Callable[[], None]) -> None:
        """`act` ends the wait from now on; it is called at once where it is too late already."""
        self._act = act
        if self.fired is not None:
            act()

    def waiting(self) -> None:
        """Someone waits for the upstream from now on, if not before. So it is at first."""
        if self._waiting_since is None:
            self._waiting_since = self._loop.time()

    def idle(self) -> None:
        """Nobody waits."""
        if self._waiting_since is not None:
            self._silent += self._loop.time() - self._waiting_since
            self._waiting_since = None

    def progress(self) -> None:
        """Tokens came, and nobody waits."""
        self._waiting_since = None
        self._silent = 0.0
        self._seen_token = True

    def progress_unseen(self) -> None:
        """Tokens came, and who waits has not been woken for them."""
        self._waiting_since = self._loop.time()
        self._silent = 0.0
        self._seen_token = True

    def finishing(self) -> None:
        """The finish reason came, and nobody waits: only the grace is waited for from now on."""
        self._end_after(min(GRACE, self._patience.stall))

    def going_on(self) -> None:
        """Words came with or behind the finish reason: more may follow in their usual time."""
        self._end_after(self._patience.stall)

    def _end_after(self, grace: float) -> None:
        if self._grace != grace and self._timer is not None:
            self._grace = grace
            self._timer.cancel()
            self._timer = Timer(self._loop, grace, self._check)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._act = None

    def _check(self) -> None:
        limit = self._patience.stall if self._seen_token else self._patience.first_token
        if self._grace is not None:
            limit = self._grace
        silent = self._silent
        if self._waiting_since is not None:
            silent += self._loop.time() - self._waiting_since
        if silent < limit:
            self._timer = Timer(self._loop, max(limit - silent, 0.001), self._check)
            return
        self._timer = None
        if self._grace is None:
            self.fired = timeout_message(limit, first=not self._seen_token)
        else:
            self.lapsed = True
        if self._act is not None:
            self._act()


def timeout_message(limit: float, *, first: bool) -> str:
    """What a client is told about a timeout."""
    if first:
        return f"The model provider sent no token within {limit:g} seconds."
    return f"The model provider paused for more than {limit:g} seconds."
