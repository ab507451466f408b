"""Several runs that answer one request, as one stream: OpenAI's `n`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from launchpad.events import OfChoice, RunEvent, RunFailed
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.run_stream import Producer

__all__ = ["side_by_side"]


class _ChoiceFailedError(Exception):
    def __init__(self, failure: RunFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _ChoiceMailbox(Mailbox):
    """Marks what one run says with its choice, on the way to the mailbox they share."""

    __slots__ = ("_choice", "_owner", "_shared")

    def __init__(self, shared: Mailbox, choice: int) -> None:
        super().__init__(0)
        self._shared = shared
        self._choice = choice
        self._owner = asyncio.current_task()

    def is_over(self) -> bool:
        # The group cancels its own task for the first failure, and then the other runs.
        owner = self._owner
        return self._shared.is_over() or (owner is not None and owner.cancelling() > 0)

    def offer(self, event: RunEvent) -> bool:
        # A failure is `put`'s to raise.
        if isinstance(event, RunFailed):
            return False
        return self._shared.offer(OfChoice(self._choice, event))

    def fail(self, failure: RunFailed) -> None:
        raise _ChoiceFailedError(failure)

    async def put(self, event: RunEvent) -> None:
        if isinstance(event, RunFailed):
            self.fail(event)
        await self._shared.put(OfChoice(self._choice, event))


def side_by_side(producers: Sequence[Producer]) -> Producer:
    """One producer that runs all of `producers` at once; their events come as `OfChoice`.

    The first that fails ends the others, and its bare `RunFailed` is the last event.
    """

    async def produce(mailbox: Mailbox) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for choice, run in enumerate(producers):
                    group.create_task(run(_ChoiceMailbox(mailbox, choice)))
        except* _ChoiceFailedError as errors:
            first = errors.exceptions[0]
            assert isinstance(first, _ChoiceFailedError)  # noqa: S101 - what `except*` says
            await mailbox.put(first.failure)

    return produce
