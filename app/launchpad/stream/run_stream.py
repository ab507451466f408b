"""`EventStream`: a run as an async iterator of events, owned by one task.

Who owns what: the *owner task* runs the whole workflow, so that a node's generator lives in one
task from its first step to its close (pydantic-ai's `run_stream` breaks when closed elsewhere).
The *consumer* only ever touches the mailbox. Letting go of the stream, by `aclose()`, by garbage
collection or by the loop's end, cancels the owner, and with it the upstream request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self
from weakref import ref

from launchpad.events import RunEvent, RunFailed
from launchpad.stream.ending import is_end
from launchpad.stream.failure import failed, forget
from launchpad.stream.mailbox import DEFAULT_LIMIT, Act, Direct, Mailbox, mailbox_here

__all__ = ["EventStream", "Producer"]

Producer = Callable[[Mailbox], Coroutine[Any, Any, None]]
"""Runs the workflow, leaving its events in the mailbox. Turns failures into `RunFailed` itself."""

PATIENCE = 10.0
"""Seconds that a cancelled run may take to clean up before it is cancelled again."""

logger = logging.getLogger("launchpad.run")


class _Owner(asyncio.Task[None]):
    """A task that is told apart by its name.

    anyio writes the present task into each cancellation's reason, which nobody reads where a scope
    ends by itself, as it does thrice in an agent's run. asyncio's own words for a task say where in
    its code it stands, which takes 40 calls; asyncio's debug mode keeps them.
    """

    def __repr__(self) -> str:
        if self.get_loop().get_debug():
            return super().__repr__()
        return f"<Task {self.get_name()!r}>"


# asyncio holds tasks weakly, and an abandoned stream still has to clean up.
_owners: set[asyncio.Task[None]] = set()


class EventStream:
    """The events of one run, in order.

    Iterate it (`async for event in stream`), or take all that is there with `batch()`. The run
    starts at the first of these; a stream that was never read costs and runs nothing.
    """

    def __init__(self, produce: Producer, *, name: str = "run", limit: int = DEFAULT_LIMIT) -> None:
        self._produce: Producer | None = produce
        self._name = name
        self._mailbox = mailbox = Mailbox(limit)
        self.arrival = mailbox.arrival
        """A future, done when `take` may have something, at the end, and after `poke()`."""
        self._owner: asyncio.Task[None] | None = None
        self._ended = False
        self._ready: list[RunEvent] = []

    @property
    def name(self) -> str:
        """What the run is called in logs."""
        return self._name

    @property
    def ending(self) -> bool:
        """Nothing more will come than what is there."""
        return self._mailbox.closed

    @property
    def finished(self) -> bool:
        """Nothing more will come."""
        return not self._ready and self._mailbox.finished

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent:
        while not self._ready:
            try:
                batch = await self.batch()
            except asyncio.CancelledError:
                # As a generator would: whoever iterates it has gone.
                self.cancel()
                raise
            if not batch and self._mailbox.finished:
                raise StopAsyncIteration
            self._ready = list(reversed(batch))
        return self._ready.pop()

    async def batch(self) -> Sequence[RunEvent]:
        """Every event that is there, waiting for the first.

        Empty at the end (`finished` is true then) and after `poke()`. Raises `RuntimeError` while
        another task waits here, as a generator does: it would never be woken.
        """
        if not (events := self.take()) and not self.finished:
            if self._mailbox.is_awaited():
                raise RuntimeError(
                    f"The stream of {self._name} is being read already. A run has one reader; "
                    "start another run, or hand on what that one reads."
                )
            await self.arrival()
            events = self.take()
        return events

    def take(self) -> Sequence[RunEvent]:
        """Every event that is there, which may be none: `arrival` is to be awaited then."""
        if self._ready:
            ready, self._ready = self._ready[::-1], []
            return ready
        if self._owner is None:
            self._start()
        return self._mailbox.take()

    def on_arrival(self, act: Act | None, direct: Direct | None = None) -> None:
        """See `Mailbox.on_arrival`. `direct` is asked once what `take` gives has been taken."""
        self._mailbox.on_arrival(act, direct)

    async def settle(self, seconds: float) -> None:
        """Wait until `seconds` have passed, unless the run ends or the mailbox fills before."""
        await self._mailbox.settle(seconds)

    def poke(self) -> None:
        """Make a waiting `batch()` or `settle()` return now."""
        self._mailbox.poke()

    def cancel(self) -> None:
        """Cancel the run without waiting for it; reading ends after what is already there."""
        self._end(None)

    def fail(self, failure: RunFailed) -> None:
        """As `cancel`, with `failure` as the last event."""
        self._end(failure)

    def _end(self, last: RunEvent | None) -> None:
        self._produce = None
        self._mailbox.close(last)
        if self._owner is not None and not self._ended:
            # Once: a second cancellation would hit the nodes' clean-up.
            self._ended = True
            self._owner.cancel()

    async def aclose(self) -> None:
        """Cancel the run if it still goes on, and wait until every node has cleaned up.

        A node that goes on regardless, or that does not come to the end of its clean-up, is named
        in the log and cancelled again every `PATIENCE` seconds.
        """
        self.cancel()
        owner = self._owner
        while owner is not None and not owner.done():
            # `wait` neither raises the owner's exception nor cancels it.
            await asyncio.wait({owner}, timeout=PATIENCE)
            if not owner.done():
                logger.warning(
                    "run %s still goes on %g s after it was cancelled", self._name, PATIENCE
                )
                owner.cancel()
        # The task keeps its cancellation, whose traceback holds what the nodes had open.
        self._owner = None

    def _start(self) -> None:
        produce, self._produce = self._produce, None
        if produce is None:
            return
        loop, name = asyncio.get_running_loop(), f"launchpad:{self._name}"
        own = _own(produce, self._mailbox)
        if loop.get_task_factory() is None:
            owner: asyncio.Task[None] = _Owner(own, loop=loop, name=name)
        else:
            owner = loop.create_task(own, name=name)
        _owners.add(owner)
        owner.add_done_callback(_owners.discard)
        self._owner = owner

    def __del__(self) -> None:
        owner = getattr(self, "_owner", None)
        if owner is None or owner.done() or self._ended:
            return
        loop = owner.get_loop()
        # The collector may run in any thread, and after the loop.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_abandon, owner, self._mailbox)


def _abandon(owner: asyncio.Task[None], mailbox: Mailbox) -> None:
    mailbox.close()
    owner.cancel()


async def _own(produce: Producer, mailbox: Mailbox) -> None:
    mailbox_here.set(ref(mailbox))
    try:
        await produce(mailbox)
    except asyncio.CancelledError as error:
        # It ends here. Kept by the task, its traceback would hold all that the run had, until
        # the garbage collector comes by.
        if not is_end(error, mailbox):
            mailbox.close(_broken(error))
        forget(error)
    except BaseException as error:
        # `sys.exit()` in a node must not end the server.
        if is_end(error, mailbox):
            raise
        mailbox.close(_broken(error))
    finally:
        mailbox.close()


def _broken(error: BaseException) -> RunFailed:
    logger.error("a run was ended by %s", type(error).__name__, exc_info=error)
    return failed(error)
