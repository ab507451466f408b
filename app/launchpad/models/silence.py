"""The first-token and stall timeouts of models that others read: pydantic-ai's and LangChain's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from launchpad.errors import UpstreamTimeoutError
from launchpad.models.openai_compatible.watchdog import Patience, timeout_message

__all__ = ["Silence"]

T = TypeVar("T")


@dataclass(slots=True)
class _Asked:
    """A model that was asked and has not ended: since when it is silent, and how long it may be."""

    since: float
    limit: float
    words: str


class Silence:
    """Times how long models are silent while somebody waits `within` for what they say.

    Only tokens are progress (`said`), whatever else a connection carries. Time that passes between
    two waits does not count: a slow client is not the upstream's fault. The wait is ended in the
    task that waits, so that generators end where they belong. `asked`, `said` and `ended` may come
    from any thread.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._asked: dict[Hashable, _Asked] = {}
        self._paused: float | None = None

    def asked(self, model: Hashable = None, *, whole: bool = False) -> None:
        """`model` was sent a request. `whole`: its answer comes in one piece, after all tokens."""
        patience = self._patience
        limit = patience.first_token
        words = timeout_message(limit, first=True)
        if whole:
            limit = patience.whole_answer
            words = f"The model provider gave no answer within {limit:g} seconds."
        self._asked[model] = _Asked(monotonic(), limit, words)

    def said(self, model: Hashable = None) -> None:
        """A token of `model` came."""
        if model in self._asked:
            limit = self._patience.stall
            words = timeout_message(limit, first=False)
            self._asked[model] = _Asked(monotonic(), limit, words)

    def ended(self, model: Hashable = None) -> None:
        """Nothing more is expected of `model`."""
        self._asked.pop(model, None)

    async def within(self, wait: Awaitable[T]) -> T:
        """What `wait` gives. Raises `UpstreamTimeoutError` where a model is silent for too long."""
        self._resume()
        watch = _Watch(self)
        try:
            async with asyncio.timeout(None) as ending:
                watch.begin(ending)
                return await wait
        except Exception as error:
            if watch.words is None:
                raise
            # Whatever the reader made of being ended.
            raise UpstreamTimeoutError(watch.words) from error
        finally:
            watch.end()
            self._paused = monotonic()

    def _resume(self) -> None:
        if self._paused is not None:
            now = monotonic()
            for one in list(self._asked.values()):
                one.since = min(now, one.since + now - self._paused)

    def overdue(self) -> tuple[float, str | None]:
        """Seconds until it makes sense to look again; or what to tell the client now."""
        now = monotonic()
        # A model that is asked meanwhile, or has said its first token, may be sooner.
        wait = min(self._patience.first_token, self._patience.stall)
        for one in list(self._asked.values()):
            left = one.since + one.limit - now
            if left <= 0:
                return 0.0, one.words
            wait = min(wait, left)
        return max(wait, 0.001), None


class _Watch:
    """One wait's timer, which looks at the clock when it comes, and is set anew where too early."""

    def __init__(self, silence: Silence) -> None:
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Timeout | None = None
        self.words: str | None = None
        """What to tell the client, once the wait was ended."""

    def begin(self, ending: asyncio.Timeout) -> None:
        self._ending = ending
        self._look()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._ending = None

    def _look(self) -> None:
        wait, self.words = self._silence.overdue()
        if self.words is None:
            self._timer = self._loop.call_later(wait, self._look)
        elif self._ending is not None:
            self._ending.reschedule(self._loop.time())
