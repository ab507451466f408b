"""`FrameStream`: a run's events, encoded in a dialect, as the bytes to send.

The one place where debouncing and heartbeats happen, used by our own responses and by a user's
`StreamingResponse(event_stream_generator(…))` alike.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Self

from launchpad.events import JsonDelta, ReasoningDelta, RunEvent, TextDelta
from launchpad.sse.frame import HEARTBEAT
from launchpad.stream.run_stream import EventStream
from launchpad.wire.base import Encoder
from launchpad.wire.telling import Operator, Telling
from launchpad.wire.untaken import Untaken

_ALONE = 0.002
"""Seconds of silence after which a token has come alone. More than the loops' clocks' grain."""

_IN_A_ROW = 16
"""Tokens that leave so before one waits for the loop's next turn: a node that computes and never
waits would fill no mailbox, and keep the loop from everybody else."""

# What a token is. Other events come in company: a node's end with the run's, and that with the
# body's, which is to leave with the last bytes.
_WORDS = frozenset({TextDelta, JsonDelta, ReasoningDelta})

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
        self._telling = Telling(
            encoder,
            stream.cancel,
            operators=operators,
            merged=debounce > 0,
            refusable=refusable,
            max_bytes=max_bytes,
        )
        self._encode = self._telling.encode
        self._debounce = debounce
        self._heartbeat = heartbeat
        self._started = False
        self._last_sent = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._untaken = None if send_timeout is None else Untaken(stream, send_timeout)
        self._forwarding: asyncio.Future[None] | None = None
        self._write: Writer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = b""
        self._gathers = False
        self._alone = 0
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
            self._begin(loop)
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
        self._telling.refusable = False
        self.finished = stream.finished
        if self._untaken is not None:
            self._untaken.gave(loop)
        return data

    async def forward(self, write: Writer) -> None:
        """Hand what comes to `write`: a token that comes alone costs no turn of this task.

        Only once the response's head has gone. Returns where `__anext__` is due again: `write`
        wants no more, more came than may leave within the debounce window, the run has ended.
        Cancelled, it ends the run as `__anext__` does.
        """
        loop, stream = asyncio.get_running_loop(), self._stream
        self._telling.refusable = False
        try:
            self._begin(loop)
            if (rest := self._rest(loop)) > 0:
                await stream.settle(rest)
            self._write, self._loop = write, loop
            self._forwarding = loop.create_future()
            stream.on_arrival(self._arrived)
            self._pass_on()
            await self._forwarding
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            stream.on_arrival(None)
            self._forwarding = None

    def _arrived(self, event: RunEvent | None) -> None:
        """Called by whoever says something: write it here and now, unless more may come at once."""
        loop = self._loop
        if loop is None or self._forwarding is None:
            return
        if self._stream.ending:
            self._let_go()
        elif not self._gathers:
            silent = loop.time() - self._last_sent >= _ALONE
            if silent and event.__class__ in _WORDS and self._alone < _IN_A_ROW:
                self._alone += 1
                self._pass_on()
            else:
                self._alone = 0
                self._gathers = True
                loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """Write what is there; let `forward` return where it is to."""
        forwarding, write, loop = self._forwarding, self._write, self._loop
        if forwarding is None or write is None or loop is None or forwarding.done():
            self._gathers = False
            return
        # To encode may end the run, which comes back to `_arrived`.
        self._gathers = True
        try:
            if not self._writes_on(write, loop):
                self._let_go()
        except Exception as error:  # noqa: BLE001 - for whoever waits, not for who said something
            self._let_go(error)
        self._gathers = False

    def _let_go(self, error: Exception | None = None) -> None:
        forwarding = self._forwarding
        if forwarding is None or forwarding.done():
            return
        if error is None:
            forwarding.set_result(None)
        else:
            forwarding.set_exception(error)

    def _writes_on(self, write: Writer, loop: asyncio.AbstractEventLoop) -> bool:
        stream = self._stream
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
        self._started = True
        return write(data)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._heartbeat:
            self._last_sent = loop.time()
            self._arm(loop, self._heartbeat)

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
