"""The first-token and stall timeouts of models that others read: pydantic-ai's and LangChain's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from launchpad.errors import UpstreamTimeoutError
from launchpad.models.openai_compatible.watchdog import GRACE, Patience, timeout_message
from launchpad.timer import Timer

__all__ = ["CompleteError", "Silence"]

T = TypeVar("T")


class CompleteError(Exception):
    """A model has said why its answer ends, and nothing since: there is nothing to wait for."""


@dataclass(slots=True)
class _Asked:
    """A model that was asked and has not ended: since when it is silent, and how long it may be.

    `words` are what to tell of it then; None where its answer has its finish reason.
    """

    since: float
    limit: float
    words: str | None


class Silence:
    """Times how long models are silent while somebody waits `within` for what they say.

    Only tokens are progress (`said`), whatever else a connection carries. Time that passes between
    two waits does not count: a slow client is not the upstream's fault. The wait is ended in the
    task that waits, so that generators end where they belong. `asked`, `said`, `finishing` and
    `ended` may come from any thread.

    `is_finished` says whether the answer has its finish reason, of a model that does not tell when
    it comes; it is asked a few times within the grace, in silence only.
    """

    def __init__(
        self, patience: Patience, *, is_finished: Callable[[], bool] | None = None
    ) -> None:
        self._patience = patience
        self._grace = min(GRACE, patience.stall)
        self._is_finished = is_finished
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
        one = self._asked.get(model)
        if one is None:
            return
        if one.words is None:
            self.finishing(model)
        else:
            limit = self._patience.stall
            words = timeout_message(limit, first=False)
            self._asked[model] = _Asked(monotonic(), limit, words)

    def finishing(self, model: Hashable = None) -> None:
        """The finish reason of `model` came: only the grace is waited for from now on."""
        if model in self._asked:
            self._asked[model] = _Asked(monotonic(), self._grace, None)

    def ended(self, model: Hashable = None) -> None:
        """Nothing more is expected of `model`."""
        self._asked.pop(model, None)

    async def within(self, wait: Awaitable[T]) -> T:
        """What `wait` gives.

        Raises `UpstreamTimeoutError` where a model is silent for too long, and `CompleteError`
        where it is so after its finish reason.
        """
        self._resume()
        watch = _Watch(self)
        try:
            async with asyncio.timeout(None) as ending:
                watch.begin(ending)
                return await wait
        except Exception as error:
            if watch.verdict is None:
                raise
            # Whatever the reader made of being ended.
            raise watch.verdict from error
        finally:
            watch.end()
            self._paused = monotonic()

    def _resume(self) -> None:
        if self._paused is not None:
            now = monotonic()
            for one in list(self._asked.values()):
                one.since = min(now, one.since + now - self._paused)

    def overdue(self) -> tuple[float, Exception | None]:
        """Seconds until it makes sense to look again; or why to wait no longer."""
        now = monotonic()
        # A model that is asked meanwhile, or has said its first token, may be sooner.
        wait = min(self._patience.first_token, self._patience.stall)
        looks = self._is_finished
        for model, one in list(self._asked.items()):
            often = self._grace / _LOOKS
            if looks is not None and one.words is not None:
                wait = min(wait, often)
                if now - one.since >= often and looks():
                    self.finishing(model)
                    continue
            left = one.since + one.limit - now
            if left <= 0:
                words = one.words
                return 0.0, CompleteError() if words is None else UpstreamTimeoutError(words)
            wait = min(wait, left)
        return max(wait, 0.001), None


_LOOKS = 4
"""Within one grace."""


class _Watch:
    """One wait's timer, which looks at the clock when it comes, and is set anew where too early."""

    def __init__(self, silence: Silence) -> None:
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._timer: Timer | None = None
        self._ending: asyncio.Timeout | None = None
        self.verdict: Exception | None = None
        """Why the wait was ended, once it was."""

    def begin(self, ending: asyncio.Timeout) -> None:
        self._ending = ending
        self._look()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._ending = None

    def _look(self) -> None:
        wait, self.verdict = self._silence.overdue()
        if self.verdict is None:
            self._timer = Timer(self._loop, wait, self._look)
        elif self._ending is not None:
            self._ending.reschedule(self._loop.time())
