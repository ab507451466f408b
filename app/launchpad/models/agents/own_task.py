"""`InOwnTask`: a run that is entered and left in a task of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from launchpad.models.agents.forgotten import end_forgotten_task

__all__ = ["InOwnTask"]

_Left = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class InOwnTask:
    """A streamed `run`, for who enters it in another task or scope than that in which it is left.

    pydantic-ai opens cancel scopes in it and sets context variables, which break then.
    """

    def __init__(self, run: AbstractAsyncContextManager[Any, Any]) -> None:
        self._run = run

    async def __aenter__(self) -> Any:
        """As the run's; what it raises comes here."""
        loop = asyncio.get_running_loop()
        self._entered: asyncio.Future[Any] = loop.create_future()
        self._left: asyncio.Future[_Left] = loop.create_future()
        self._task = asyncio.create_task(self._own(), name="launchpad:run")
        try:
            await asyncio.wait((self._task, self._entered), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._task.cancel()
            await asyncio.wait((self._task,))
            if not self._task.cancelled():
                self._task.exception()  # else asyncio logs it as one that nobody has seen
            raise
        return self._entered.result() if self._entered.done() else self._task.result()

    async def _own(self) -> Any:
        try:
            return await self._hold()
        except BaseException as error:
            # Here, as who waits for this task has another traceback.
            end_forgotten_task(error)
            raise

    async def _hold(self) -> Any:
        self._entered.set_result(await self._run.__aenter__())
        try:
            left = await self._left
        except BaseException:
            # The loop ends, and nobody is there to leave it.
            await self._run.__aexit__(*sys.exc_info())
            raise
        return await self._run.__aexit__(*left)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        """As the run's. A cancellation meanwhile is the run's to mind."""
        if not self._left.done():
            self._left.set_result((kind, error, trace))
        try:
            return await self._task
        finally:
            del self._left
