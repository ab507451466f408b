"""`StreamedRun`: what `agent.run_stream(…)` gives a node, ended in the task that began it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from launchpad.errors import DefinitionError
from launchpad.models.agents.forgotten import end_forgotten_task
from launchpad.models.scope import spent_here
from launchpad.stream.failure import forget

__all__ = ["StreamedRun"]


class StreamedRun:
    """A streamed run, whose agent is chosen when it is entered: what overrides it counts then.

    A generator that its reader leaves (`async for … in super().process(task_context): … break`) is
    closed by the event loop, in another task. pydantic-ai's run breaks there: its cancel scope ends
    the node that has left it. So another task's exit only stops the model, and the run is ended
    where the node's `process` is over, in its own task, or an earlier run of that task.
    """

    __slots__ = ("_given", "_open", "_prompt", "_result", "_run", "_run_stream_for", "_task")

    def __init__(
        self,
        run_stream_for: Callable[[Mapping[str, Any]], Callable[..., Any]],
        prompt: tuple[Any, ...],
        given: dict[str, Any],
    ) -> None:
        """`run_stream_for` gives, for a run's parameters, the `run_stream` that is entered."""
        self._run_stream_for = run_stream_for
        self._prompt = prompt
        self._given = given
        self._open: list[Any] | None = None

    async def __aenter__(self) -> Any:
        self._run: Any = self._run_stream_for(self._given)(*self._prompt, **self._given)
        try:
            self._result = await self._run.__aenter__()
        except BaseException as error:
            # Here, not at the node's end, as it may be in a task of the node's own.
            end_forgotten_task(error)
            raise
        spent = spent_here.get()
        if spent is not None:
            self._task = asyncio.current_task()
            self._open = spent.open_runs
            self._open.append(self)
        return self._result

    async def __aexit__(self, *error: Any) -> Any:
        if self._open is None:
            return await self._run.__aexit__(*error)
        if self not in self._open:
            # The node's end has come before its left generator's.
            return None
        if self._task is not asyncio.current_task():
            if not _is_over(self._task):
                with suppress(Exception):
                    await self._result.cancel()
                return None
            if error[0] is GeneratorExit:
                # Left by a task that is over: it breaks, and nobody can do anything about it.
                self._open.remove(self)
                with suppress(Exception):
                    await self._run.__aexit__(*error)
                return None
        # pydantic-ai's runs of one task end in no other order.
        for later in reversed(self._open[self._open.index(self) + 1 :]):
            await later.end()
        self._open.remove(self)
        return await self._run.__aexit__(*error)

    async def end(self) -> None:
        """End the run as a cancellation would, if it was begun in this task and is still open.

        What pydantic-ai raises then is lost: nobody reads this run any more.
        """
        task = self._task
        if task is None or task is not asyncio.current_task():
            return
        asked = task.cancelling()
        error = asyncio.CancelledError()
        try:
            with suppress(Exception):
                await self.__aexit__(asyncio.CancelledError, error, None)
        except asyncio.CancelledError:
            if task.cancelling() > asked:
                raise
        finally:
            forget(error)

    def __enter__(self) -> NoReturn:
        raise DefinitionError(f"{_AS_IT_IS_OPENED}, not with.")

    def __await__(self) -> NoReturn:
        raise DefinitionError(f"{_AS_IT_IS_OPENED}, without await.")

    def __aiter__(self) -> NoReturn:
        raise DefinitionError(f"{_AS_IT_IS_OPENED}, and read the result in it.")

    @property
    def run_id(self) -> NoReturn:
        """Asked of a result by those that read it."""
        raise DefinitionError(f"{_AS_IT_IS_OPENED}, and give that result to be read.")

    def __exit__(self, *error: object) -> None:
        """Never reached; `with` looks for it first."""


_AS_IT_IS_OPENED = "Write async with agent.run_stream(…) as result"


def _is_over(task: asyncio.Task[Any] | None) -> bool:
    return task is None or task.done()
