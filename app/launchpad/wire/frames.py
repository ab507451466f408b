"""`FrameStream`: a run's events, encoded in a dialect, as the bytes to send.

The one place where debouncing and heartbeats happen, used by our own responses and by a user's
`StreamingResponse(event_stream_generator(…))` alike.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Self

from launchpad.errors import LaunchpadError, OutputTooLargeError
from launchpad.events import RunEvent, RunFailed
from launchpad.sse.frame import HEARTBEAT
from launchpad.sse.refusal import Refusal
from launchpad.stream.coalesce import coalesce
from launchpad.stream.failure import failed
from launchpad.stream.run_stream import EventStream
from launchpad.stream.size import size_of
from launchpad.wire.base import Encoder
from launchpad.wire.untaken import Untaken

logger = logging.getLogger("launchpad.run")

Operator = Callable[[Sequence[RunEvent]], Sequence[RunEvent]]


Writer = Callable[[bytes], bool]
"""Takes bytes for the client. False: no more until it has had time to take them."""


class FrameStream:
    """Complete SSE frames, a write's worth at a time.

    Args:
        stream: the run.
        encoder: the dialect.
        debounce: seconds; the first delta leaves at once, those that follow within this window
            leave together. 0 sends each as its own chunk.
        heartbeat: seconds of silence after which a comment is sent; 0 turns it off.
        operators: applied to each batch of events before it is encoded.
        refusable: raise `Refusal` for a failure before the first byte, so that it gets its real
            HTTP status, where the dialect wants that. Off where the head has gone already.
        max_bytes: an answer that is certainly longer ends with an error, between once and twice
            this much text.
        send_timeout: seconds within which what was given must have been taken, that is, the next
            bytes asked for; else the run is ended, with a line in the log. None where the response
            minds that itself, as `SSEResponse` does.
    """

    def __init__(
        self,
        stream: EventStream,
        encoder: Encoder,
        *,
        debounce: float,
        heartbeat: float,
        operators: Sequence[Operator] = (),
        refusable: bool = False,
        max_bytes: int | None = None,
        send_timeout: float | None = None,
    ) -> None:
        self._stream = stream
        self._encoder = encoder
        self._debounce = debounce
        self._heartbeat = heartbeat
        self._operators = operators
        self._refusable = refusable
        self._max_bytes = max_bytes
        self._sent = 0
        self._said = 0
        self._started = False
        self._last_sent = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._untaken = None if send_timeout is None else Untaken(stream, send_timeout)
        self._forwarding: asyncio.Future[None] | None = None
        self._write: Writer | None = None
        self._held = b""
        self.finished = False
        """The run has ended, and everything was given."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises `Refusal` as `refusable` says, `StopAsyncIteration` at the end.

        Cancelled while it waits, it ends the run, as a generator would: Starlette's
        `StreamingResponse` cancels its reader when the client leaves, and closes nothing.
        """
        if self._untaken is not None:
            self._untaken.taken()
        loop = asyncio.get_running_loop()
        stream = self._stream
        data, self._held = self._held, b""
        try:
            if self._timer is None and self._heartbeat:
                self._last_sent = loop.time()
                self._arm(loop, self._heartbeat)
            if not data:
                if (rest := self._rest(loop)) > 0:
                    await stream.settle(rest)
                data = self._ready(stream)
            while not data:
                # In this frame: a coroutine between here and the mailbox costs each token.
                await stream.arrival()
                # What is said may come to no bytes at all: that is silence too.
                data = self._ready(stream) or self._silence(loop)
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._last_sent = loop.time()
        self._started = True
        self.finished = stream.finished
        if self._untaken is not None:
            self._untaken.gave(loop)
        return data

    async def forward(self, write: Writer) -> None:
        """Hand what comes to `write`: a token that comes alone costs no turn of this task.

        Only after the first bytes. Returns where `__anext__` is due again: `write` wants no more,
        more came than may leave within the debounce window, the run has ended. Cancelled, it ends
        the run as `__anext__` does.
        """
        loop = asyncio.get_running_loop()
        try:
            if (rest := self._rest(loop)) > 0:
                await self._stream.settle(rest)
            self._write = write
            self._forwarding = loop.create_future()
            self._pass_on()
            await self._forwarding
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _pass_on(self, _arrival: object = None) -> None:
        """Write what is there and wait for more, or let `forward` return."""
        forwarding, write = self._forwarding, self._write
        if forwarding is None or write is None or forwarding.done():
            return
        try:
            if self._writes_on(write):
                self._stream.arrival().add_done_callback(self._pass_on)
            else:
                forwarding.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is for whoever waits
            forwarding.set_exception(error)

    def _writes_on(self, write: Writer) -> bool:
        stream, loop = self._stream, asyncio.get_running_loop()
        if self._rest(loop) > 0:
            return False
        try:
            data = self._ready(stream) or self._silence(loop)
        except StopAsyncIteration:
            return False
        if not data:
            return True
        if stream.finished:
            # The body's end goes with it.
            self._held = data
            return False
        self._last_sent = loop.time()
        return write(data)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> float:
        """Seconds for which what comes is still to be gathered."""
        if not self._debounce or not self._started:
            return 0.0
        return self._last_sent + self._debounce - loop.time()

    def _ready(self, stream: EventStream) -> bytes:
        """The bytes that there are; b"" where one has to wait. Raises `StopAsyncIteration`."""
        while events := stream.take():
            if data := self._encode(events):
                return data
        if stream.finished:
            self.finished = True
            self._disarm()
            raise StopAsyncIteration
        return b""

    def cancel(self) -> None:
        """End the run without waiting; a reader that waits for bytes gets the end."""
        self._disarm()
        self._stream.cancel()

    async def aclose(self) -> None:
        """End the run if it still goes on, and wait for its clean-up."""
        self._disarm()
        await self._stream.aclose()

    def _encode(self, events: Sequence[RunEvent]) -> bytes:
        said, failure = b"", None
        try:
            for operator in self._operators:
                events = operator(events)
            if self._debounce:
                events = coalesce(events)
            last = events[-1] if events else None
            if not isinstance(last, RunFailed):
                return self._within_bounds(events, self._encoder.encode(events))
            failure = last
            said = self._encoder.encode(events[:-1])
        except Exception as error:
            # The run cannot be told on this wire: it ends here.
            if not isinstance(error, LaunchpadError):
                logger.exception("what a run said could not be encoded")
            self._stream.cancel()
            failure = failure or failed(error)
        return self._fail(said, failure)

    def _within_bounds(self, events: Sequence[RunEvent], data: bytes) -> bytes:
        limit = self._max_bytes
        self._sent += len(data)
        if limit is not None and self._sent > limit:
            # Frames are larger than their text, so up to here there was nothing to count.
            self._said += size_of(events)
            if self._said > limit:
                raise OutputTooLargeError(limit)
        return data

    def _fail(self, said: bytes, failure: RunFailed) -> bytes:
        if self._refusable and not self._started and not said:
            answer = self._encoder.failure(failure)
            if answer is not None:
                raise Refusal(answer.status, answer.headers, answer.body)
        return said + self._encoder.encode((failure,))

    def _silence(self, loop: asyncio.AbstractEventLoop) -> bytes:
        due = self._heartbeat and loop.time() - self._last_sent >= self._heartbeat
        return HEARTBEAT if due else b""

    def _arm(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        # Held weakly: a stream that is dropped unread must not live on in its own timer.
        alive: weakref.ref[FrameStream] = weakref.ref(self)
        self._timer = loop.call_later(seconds, _tick, alive, loop)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._untaken is not None:
            self._untaken.stop()

    def tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give a heartbeat its turn where one is due, and look again when the next may be."""
        # One timer a response, moved on when it fires: a token costs no timer of its own.
        rest = self._last_sent + self._heartbeat - loop.time()
        if rest <= 0:
            self._stream.poke()
        self._arm(loop, rest if rest > 0 else self._heartbeat)


def _tick(frames: weakref.ref[FrameStream], loop: asyncio.AbstractEventLoop) -> None:
    alive = frames()
    if alive is not None:
        alive.tick(loop)
