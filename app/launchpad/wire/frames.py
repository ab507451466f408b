"""`FrameStream`: a run's events, encoded in a dialect, as the bytes to send.

The one place where debouncing and heartbeats happen, used by our own responses and by a user's
`StreamingResponse(event_stream_generator(…))` alike.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from launchpad.events import RunEvent
from launchpad.sse.frame import HEARTBEAT
from launchpad.stream.run_stream import EventStream
from launchpad.wire.base import Encoder
from launchpad.wire.forwarding import Forwarding
from launchpad.wire.telling import Operator, Telling
from launchpad.wire.untaken import Untaken

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
        self._untaken: Untaken | None = None
        if send_timeout is not None:
            self._untaken = Untaken(stream.name, send_timeout, weakref.WeakMethod(self.cancel))
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
        if self._untaken is not None:
            # Whoever forwards minds the client.
            self._untaken.taken()
        try:
            self._begin(loop)
            if (rest := self._rest(loop)) > 0:
                await stream.settle(rest)
            step = partial(self._write_on, write, loop)
            say = partial(self._write_alone, write, loop)
            await Forwarding(stream, step, say, loop, self._last_sent).run()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _write_on(self, write: Writer, loop: asyncio.AbstractEventLoop) -> bool:
        """Write what there is; False where it is `__anext__`'s turn."""
        if self._debounce and self._rest(loop) > 0:
            return False
        try:
            data = self._ready(self._stream)
        except StopAsyncIteration:
            return False
        return self._give(data, write, loop)

    def _write_alone(
        self, write: Writer, loop: asyncio.AbstractEventLoop, event: RunEvent
    ) -> bool | None:
        """Write `event` by itself; None where others are to leave with it, else as `_write_on`."""
        if self._debounce and self._rest(loop) > 0:
            return None
        return self._give(self._encode((event,)), write, loop)

    def _give(self, data: bytes, write: Writer, loop: asyncio.AbstractEventLoop) -> bool:
        data = data or self._silence(loop)
        if not data:
            return True
        if self._stream.finished:
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
