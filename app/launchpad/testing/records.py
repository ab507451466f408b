"""What the scripted upstream saw: the requests in order, and how each came to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from launchpad.testing.connection import Connection, Incoming

__all__ = ["Outcome", "ReceivedRequest", "Watch"]

Outcome = Literal["answering", "complete", "left", "dropped", "stopped"]
"""`complete`: answered to the end · `left`: the client closed first · `dropped`: the script
closed · `stopped`: the upstream was shut down."""


class Watch:
    """Lets tests wait, in their own thread, for something that the server's thread does."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def notify(self) -> None:
        """Something changed."""
        with self._changed:
            self._changed.notify_all()

    def until(self, reached: Callable[[], bool], timeout: float, what: str) -> None:
        """Block until `reached()`. Raises `TimeoutError` saying `what` did not happen."""
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise TimeoutError(f"{what} did not happen within {timeout} s")


class ReceivedRequest:
    """One request to the scripted upstream, from its arrival on."""

    def __init__(self, number: int, incoming: Incoming, connection: Connection, watch: Watch):
        self.number = number
        """1 for the first request, and so on."""
        self.method = incoming.method
        self.path = incoming.target
        self.headers: Mapping[str, str] = incoming.headers
        """Names in lower case."""
        self.raw = bytes(incoming.body)
        self.received_at = time.monotonic()
        self.ended_at: float | None = None
        self.tokens_sent = 0
        """Tokens that the kernel has taken; stands still while the client does not read."""
        self.outcome: Outcome = "answering"
        self.connection = connection
        self._watch = watch

    def __repr__(self) -> str:
        """The request line and how it ended."""
        return f"<{self.method} {self.path} #{self.number}: {self.outcome}>"

    @property
    def body(self) -> Any:
        """The body, decoded from JSON."""
        return msgspec.json.decode(self.raw)

    @property
    def disconnected(self) -> bool:
        """Whether the client closed its connection before the answer was complete."""
        return self.outcome == "left"

    def wait_ended(self, timeout: float = 10.0) -> Outcome:
        """Block until the answer came to an end, and say which. Raises `TimeoutError`."""
        ended = f"the end of {self!r}"
        self._watch.until(lambda: self.outcome != "answering", timeout, ended)
        return self.outcome

    def wait_disconnected(self, timeout: float = 10.0) -> float:
        """Block until the client has left in mid-answer; give the `time.monotonic()` of that.

        Raises `TimeoutError`, and `AssertionError` where the answer ended otherwise.
        """
        if self.wait_ended(timeout) != "left" or self.ended_at is None:
            raise AssertionError(f"the client did not leave: {self!r}")
        return self.ended_at

    def wait_blocked(self, lasting: float = 0.2, timeout: float = 10.0) -> int:
        """Block until the client has taken nothing for `lasting` seconds; give `tokens_sent`.

        This is backpressure come all the way: every buffer on the way is full.
        Raises `TimeoutError`.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            since = self.connection.blocked_since
            if since is not None and time.monotonic() - since >= lasting:
                return self.tokens_sent
            time.sleep(0.01)
        raise TimeoutError(f"{self!r} was not held up within {timeout} s")

    def finish(self, outcome: Outcome) -> None:
        """Called by the upstream: the first outcome counts."""
        if self.outcome == "answering":
            self.ended_at = time.monotonic()
            self.outcome = outcome
            self._watch.notify()
