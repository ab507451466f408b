"""`ResultLive`: a result of pydantic-ai whose model we do not read, by its own means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.result import StreamedRunResult

from launchpad.errors import NodeError
from launchpad.events import Delta, JsonDelta, TextDelta
from launchpad.models.finish_reasons import finish_reason_of
from launchpad.models.live.events import ended_for, usage_of
from launchpad.models.live.stream import LiveStream

__all__ = ["ResultLive"]


class ResultLive(LiveStream):
    """Reads what `agent.run_stream` gave where its model is another than the node's own.

    That is one of `agent.override(model=…)`, which pydantic-ai has for tests, of
    `run_stream(model=…)`, or of an agent that the user made. Its words come as pydantic-ai makes
    them, snapshots of the answer so far, of which we tell what is new.
    """

    def __init__(self, result: StreamedRunResult[Any, Any]) -> None:
        self._result = result

    async def batches(self, node: str, *, structured: bool) -> AsyncIterator[Sequence[Delta]]:
        """See `LiveStream`. Raises `NodeError` for a result whose run has ended unread."""
        result = self._result
        kind = JsonDelta if structured else TextDelta
        told = ""
        async for response in result.stream_response(debounce_by=None):
            said = _document(response) if structured else _text(response)
            if len(said) > len(told) and said.startswith(told):
                yield [kind(node, said[len(told) :])]
                told = said
        response = result.response
        if response.state == "incomplete":
            # It ends as if it were complete.
            raise NodeError(
                node,
                "its agent's stream was closed before it was read to its end; read it inside of "
                "`async with self.agent.run_stream(...)`, and yield there what it gives.",
            )
        self.finish_reason = finish_reason_of(ended_for(response))
        self.usage = usage_of(response.usage)


def _text(response: ModelResponse) -> str:
    return "".join([part.content for part in response.parts if isinstance(part, TextPart)])


def _document(response: ModelResponse) -> str:
    """The JSON text of a structured answer: a tool's arguments where one is called, else text."""
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if not calls:
        return _text(response)
    arguments = calls[0].args
    return arguments if isinstance(arguments, str) else calls[0].args_as_json_str()
