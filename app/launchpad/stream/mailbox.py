"""The bounded hand-over between the task that owns a run and the one that writes its response."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from weakref import ref

from launchpad.events import RunEvent, RunFailed

DEFAULT_LIMIT = 256
"""Events held before the producer waits: 256 deltas are some 20 KiB."""


Act = Callable[[RunEvent | None], None]
"""Is told that there is something to take."""
Direct = Callable[[RunEvent], bool]
"""Takes an event that nothing waits before; False where it is to be left in the mailbox."""


class Mailbox:
    """Events from one or more producers to one consumer, all on one event loop.

    The consumer drains everything that is there at each wake, so a producer that is ahead is
    batched at no latency. A full mailbox makes its producers wait: that is how a slow client
    slows its own upstream, and only that one.
    """

    __slots__ = (
        "__weakref__",
        "_act",
        "_consumer",
        "_direct",
        "_gathers",
        "_items",
        "_limit",
        "_producers",
        "_settling",
        "closed",
        "finished",
    )

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._items: list[RunEvent] = []
        self._limit = limit
        self._settling = False
        self._consumer: asyncio.Future[None] | None = None
        self._act: Act | None = None
        self._direct: Direct | None = None
        self._gathers = False
        self._producers: deque[asyncio.Future[None]] = deque()
        self.closed = False
        """No more is taken in; what is there can still be taken out."""
        self.finished = False
        """Closed, and everything was taken."""

    def offer(self, event: RunEvent) -> bool:
        """Leave `event` if there is room; return whether there was. Never waits."""
        items = self._items
        if len(items) >= self._limit:
            return False
        if not items and self._direct is not None and not self._gathers and self._direct(event):
            return True
        items.append(event)
        if self._act is not None:
            self._act(event)
        elif self._consumer is not None and (not self._settling or len(items) >= self._limit):
            self._wake_consumer()
        return True

    async def put(self, event: RunEvent) -> None:
        """Leave `event`, waiting for room. Once closed, events are dropped: nobody reads them."""
        while not self.offer(event):
            if self.closed:
                # A producer that never waits would keep everybody else, its own end too, from
                # getting a turn of the loop.
                await asyncio.sleep(0)
                return
            room = asyncio.get_running_loop().create_future()
            self._producers.append(room)
            await room

    def gather(self) -> None:
        """Several events follow at once: none of them is taken directly, and they leave as one."""
        self._gathers = True

    def close(self, last: RunEvent | None = None) -> None:
        """Say that no more events come, after `last`. What is inside can still be taken."""
        if last is not None and not self.closed:
            self._items.append(last)
        self.closed = True
        # Room for nothing: `offer` looks at one number for both.
        self._limit = 0
        self.finished = not self._items
        self._wake_consumer()
        self._wake_producers()

    def is_over(self) -> bool:
        """Whether the run was asked to end: nobody wants more of it."""
        return self.closed

    def fail(self, failure: RunFailed) -> None:
        """Leave `failure` as the last event. Never waits: a run that ends may have no reader."""
        self.close(failure)

    def poke(self) -> None:
        """Wake a consumer that waits, with nothing: how a heartbeat gets its turn."""
        self._wake_consumer()

    def take(self) -> Sequence[RunEvent]:
        """Everything that is there, which may be nothing; then `arrival` is to be awaited."""
        items = self._items
        if not items:
            return ()
        self._items = []
        self._gathers = False
        self.finished = self.closed
        if self._producers:
            self._wake_producers()
        return items

    def is_awaited(self) -> bool:
        """Whether somebody waits for the next event."""
        return self._consumer is not None and not self._consumer.done()

    def arrival(self) -> asyncio.Future[None]:
        """Done at the next event, when it is closed or poked. For the one consumer.

        No coroutine: a stream waits for each of its tokens here.
        """
        self._consumer = asyncio.get_running_loop().create_future()
        return self._consumer

    def on_arrival(self, act: Act | None, direct: Direct | None = None) -> None:
        """Call `act` where `arrival` would be done, within the call that does it. None: no more.

        It gets the event, or None at the end and for a poke. A waiting task has its turn later,
        which costs a token that comes alone more than all the rest of its way from here. `direct`
        is asked before, and may spare an event the mailbox.
        """
        self._act = act
        self._direct = direct

    async def settle(self, seconds: float) -> None:
        """Let events gather for `seconds`, but no longer than until it is full, closed or poked."""
        if self.closed or len(self._items) >= self._limit:
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._wake_consumer)
        self._settling = True
        try:
            await self.arrival()
        finally:
            self._settling = False
            timer.cancel()

    def _wake_consumer(self) -> None:
        if self._act is not None:
            self._act(None)
        consumer = self._consumer
        if consumer is not None:
            self._consumer = None
            if not consumer.done():
                consumer.set_result(None)

    def _wake_producers(self) -> None:
        while self._producers:
            room = self._producers.popleft()
            if not room.done():
                room.set_result(None)


mailbox_here: ContextVar[ref[Mailbox] | None] = ContextVar("launchpad_mailbox", default=None)
"""The running run's, for who knows more of its events than one by one. Held weakly: asyncio keeps
a cancelled timer, and with it the context that it was made in, until its time."""


def leave_together() -> None:
    """What the calling node says next comes in company: it leaves in one write, not in two."""
    here = mailbox_here.get()
    mailbox = here() if here is not None else None
    if mailbox is not None:
        mailbox.gather()
