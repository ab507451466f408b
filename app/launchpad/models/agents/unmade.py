"""`Unmade`: what a streamed result has for its run's stream while there is no run (`late_run`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pydantic_ai.exceptions import UserError
from pydantic_ai.usage import RunUsage

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.result import StreamedRunResult

    from launchpad.models.agents.ahead import Expected
    from launchpad.models.agents.plain_response import PlainResponse

__all__ = ["Unmade"]


class _Run(Protocol):
    @property
    def is_left(self) -> bool: ...

    async def finish(self) -> Any: ...

    async def begin(self) -> StreamedRunResult[Any, Any]: ...


class Unmade:
    """Has the place of pydantic-ai's `AgentStream`, and its names, in a `StreamedRunResult`.

    What only a run can tell has it made (`finish`), or begun (`begin`). All else is known without.
    """

    metadata = None
    cancelled = False
    """Whether `cancel` was called."""

    def __init__(
        self, run: _Run, expected: Expected, response: PlainResponse, agent: Agent[Any, Any]
    ) -> None:
        self._run = run
        self._response = response
        self._agent = agent
        self.run_id = expected.run_id
        self.conversation_id = expected.conversation_id

    async def get_output(self) -> Any:
        """The run's, all of which is made for it."""
        return await self._run.finish()

    async def stream_output(self, **how: Any) -> AsyncIterator[Any]:
        """The run's."""
        async for output in (await self._run.begin()).stream_output(**how):
            yield output

    async def stream_text(self, **how: Any) -> AsyncIterator[str]:
        """The run's."""
        async for text in (await self._run.begin()).stream_text(**how):
            yield text

    async def stream_response(self, **how: Any) -> AsyncIterator[ModelResponse]:
        """The run's; where the node has left it, what came of the answer until then."""
        if self._run.is_left:
            yield self.response
            return
        async for response in (await self._run.begin()).stream_response(**how):
            yield response

    async def validate_response_output(self, message: ModelResponse, **how: Any) -> Any:
        """The run's."""
        return await (await self._run.begin()).validate_response_output(message, **how)

    async def cancel(self) -> None:
        """Stop the provider's stream; as in a run, the response itself is told nothing more."""
        self.cancelled = True
        await self._response.close_stream()

    @property
    def response(self) -> ModelResponse:
        """The answer so far."""
        response = self._response.get()
        if self.cancelled:
            response.state = "interrupted"
        model: Any = self._agent.model
        response.model_id = model.model_id
        return response

    @property
    def usage(self) -> RunUsage:
        """What the run will have taken by now."""
        usage = RunUsage(requests=1) + self._response.usage
        with suppress(AssertionError, LookupError, ValueError):
            usage.cost = self.response.cost().total_price
        return usage

    @property
    def timestamp(self) -> datetime:
        """When the answer began."""
        return self._response.timestamp

    @property
    def _run_ctx(self) -> NoReturn:
        """Asked for the run's workspace alone."""
        raise UserError("Ask for a workspace once the answer was read.")

    def _settled_output(self) -> NoReturn:
        """Asked for where `cancel` has ended it."""
        raise UserError(
            "The stream was cancelled before it produced an output, so this run has no settled "
            "result. The messages up to then are in `all_messages()`."
        )
