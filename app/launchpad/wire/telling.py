"""`Telling`: a run's events as bytes of a dialect, within bounds, failures included."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from launchpad.errors import LaunchpadError, OutputTooLargeError
from launchpad.events import RunEvent, RunFailed
from launchpad.sse.refusal import Refusal
from launchpad.stream.coalesce import coalesce
from launchpad.stream.failure import failed
from launchpad.stream.size import size_of
from launchpad.wire.base import Encoder

__all__ = ["Operator", "Telling"]

logger = logging.getLogger("launchpad.run")

Operator = Callable[[Sequence[RunEvent]], Sequence[RunEvent]]


class Telling:
    """Encodes batches of one run's events.

    Args:
        encoder: the dialect.
        give_up: called where the run cannot be told on, and is to end.
        operators: applied to each batch first.
        merged: neighbouring deltas of a batch leave as one.
        refusable: raise `Refusal` for a failure before anything was said, where the dialect has
            one. Set it to False once anything else has left.
        max_bytes: an answer that is certainly longer ends with an error, between once and twice
            this much text.
    """

    def __init__(
        self,
        encoder: Encoder,
        give_up: Callable[[], None],
        *,
        operators: Sequence[Operator],
        merged: bool,
        refusable: bool,
        max_bytes: int | None,
    ) -> None:
        self._encoder = encoder
        self._give_up = give_up
        self._operators = operators
        self._merged = merged
        self._max_bytes = max_bytes
        self._unchecked = math.inf if max_bytes is None else max_bytes
        self._sent = 0
        self._said = 0
        self.refusable = refusable

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """The bytes that `events` are, which may be none. Raises `Refusal`."""
        said, failure = b"", None
        try:
            for operator in self._operators:
                events = operator(events)
            if self._merged:
                events = coalesce(events)
            last = events[-1] if events else None
            if not isinstance(last, RunFailed):
                data = self._encoder.encode(events)
                self._sent += len(data)
                if self._sent > self._unchecked:
                    # Frames are larger than their text, so up to here there was nothing to count.
                    self._check_size(events)
                return data
            failure = last
            said = self._encoder.encode(events[:-1])
        except Exception as error:
            # The run cannot be told on this wire: it ends here.
            if not isinstance(error, LaunchpadError):
                logger.exception("what a run said could not be encoded")
            self._give_up()
            failure = failure or failed(error)
        return self._fail(said, failure)

    def _check_size(self, events: Sequence[RunEvent]) -> None:
        self._said += size_of(events)
        if self._max_bytes is not None and self._said > self._max_bytes:
            raise OutputTooLargeError(self._max_bytes)

    def _fail(self, said: bytes, failure: RunFailed) -> bytes:
        if self.refusable and not said:
            answer = self._encoder.failure(failure)
            if answer is not None:
                raise Refusal(answer.status, answer.headers, answer.body)
        return said + self._encoder.encode((failure,))
