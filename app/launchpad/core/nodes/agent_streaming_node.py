"""`AgentStreamingNode`: an agent whose tokens leave as they are made (document 001)."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar

from launchpad.core.nodes.agent import AgentHolder, config_of, conversation
from launchpad.core.task import TaskContext
from launchpad.errors import OutputError
from launchpad.events import FinishReason, JsonDelta, ReasoningDelta
from launchpad.models.agents.output_errors import CUT_SHORT, NO_SUCH_TOOL, UNFIT
from launchpad.models.agents.streaming_model import LiveStream, live_stream
from launchpad.models.scope import count_usage, request_scope

if TYPE_CHECKING:
    from pydantic_ai.result import StreamedRunResult


_LOST: dict[FinishReason | None, str] = {
    "length": CUT_SHORT,
    "content_filter": "its output was withheld by the provider's content filter.",
}


class AgentStreamingNode(AgentHolder):
    """A node that streams what its agent says.

    Open the agent's stream in `process` and hand the result to `stream_text_deltas` or, for a
    structured `output_type`, to `stream_structured_deltas`:

        async def process(self, task_context: TaskContext) -> AsyncIterator[Dict[str, Any]]:
            async with self.agent.run_stream(user_prompt="Hello") as result:
                async for chunk in self.stream_text_deltas(result):
                    yield chunk

    Both yield the events of `launchpad.events`, from the model's first token on, and end with the
    agent's complete, validated output saved as the node's. They are annotated as `Any` so that a
    `process` typed as the documents type it passes strict checkers.
    """

    streams: ClassVar[bool] = True
    _refused = False

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        """Stream the agent's answer to the conversation of the event."""
        prompt, history = conversation(self.node_name, task_context.event)
        config = config_of(self)
        if config.tools:
            async for chunk in self.stream_agent(prompt, message_history=history):
                yield chunk
            return
        async with self.agent.run_stream(prompt, message_history=history) as result:
            text = config.output_type is str
            words = self.stream_text_deltas if text else self.stream_structured_deltas
            async for chunk in words(result):
                yield chunk

    async def stream_agent(self, user_prompt: Any = None, **run: Any) -> AsyncIterator[Any]:
        """Run the agent with its tools to the end, yielding what its model says on the way.

        For agents whose tools the server runs: `agent.run_stream` takes the first text for the
        answer, so that what a model says before it calls a tool would end the run. `run` is what
        `agent.run_stream_events` takes (`message_history`, `deps`, …). Tool calls stay hidden.
        """
        from launchpad.models.agents.events import stream_agent_events

        structured = config_of(self).output_type is not str
        events = stream_agent_events(
            self.agent, user_prompt, node=self.node_name, structured=structured, **run
        )
        async for event in events:
            yield event
        self._finish_reason = events.finish_reason
        if events.refused:
            self._lose_refused()
            return
        self.save_output(events.result.output)

    async def stream_text_deltas(self, result: StreamedRunResult[Any, Any]) -> AsyncIterator[Any]:
        """Yield the text of `result` as it is made, only what is new each time.

        Text that the request's `response_format` makes JSON comes as fragments of JSON. Raises
        `OutputError` where the model called a tool that the agent does not have, and said nothing.
        """
        live, said = self._live(result), False
        async for batch in live.batches(self.node_name, structured=self._asked_for_json()):
            said = said or any(not isinstance(event, ReasoningDelta) for event in batch)
            for event in batch:
                yield event
        self._note(live)
        # What was said leaves before the agent's run is brought to its end, which takes a while.
        await sleep(0)
        output = await result.get_output()
        if live.hid_calls and not said and output == "":
            # Such an answer was taken for the run's result before its first word: no retry any
            # more. A call that waits for an approval is an output.
            raise OutputError(self.node_name, NO_SUCH_TOOL)
        self.save_output(output)

    async def stream_structured_deltas(
        self, result: StreamedRunResult[Any, Any]
    ) -> AsyncIterator[Any]:
        """Yield fragments of JSON text that concatenate to the output's document.

        Raises `OutputError` where the complete document does not fit the output type. A document
        that the token limit cut off raises nothing: the node finishes with `length`, its output is
        not saved, and a node that asks for it gets the `OutputError`.
        """
        live, said = self._live(result), False
        async for batch in live.batches(self.node_name, structured=True):
            said = said or any(isinstance(event, JsonDelta) for event in batch)
            for event in batch:
                yield event
        self._note(live)
        await sleep(0)
        try:
            output = await result.get_output()
        except Exception as error:
            from pydantic_ai.exceptions import AgentRunError

            if not isinstance(error, AgentRunError):
                raise
            self._lose_or_raise(error)
            return
        # Text is an output, too, where the type takes it: `[str, Person]`.
        if (said or (isinstance(output, str) and output)) and not self._refused:
            self.save_output(output)
        else:
            # An output type of defaults alone fits no words at all: nobody has made that document.
            self._lose_or_raise(None)

    def _lose_or_raise(self, error: Exception | None) -> None:
        """Nothing is saved, for a reason that a later node is told, or for none that is known."""
        if self._refused:
            self._lose_refused()
        elif self._finish_reason in _LOST:
            self.task_context.lose_output(type(self), _LOST[self._finish_reason])
        else:
            raise OutputError(self.node_name, UNFIT) from error

    def _lose_refused(self) -> None:
        self.task_context.lose_output(type(self), "the model refused to answer.")

    def _asked_for_json(self) -> bool:
        scope = request_scope.get()
        return self.takes_client_form and scope is not None and scope.response_format is not None

    def _live(self, result: StreamedRunResult[Any, Any]) -> LiveStream:
        live = live_stream(result.run_id)
        if live is None:
            # The model is not the node's own: `agent.override`, `run_stream(model=…)`.
            from launchpad.models.live.result import ResultLive

            return ResultLive(result)
        return live

    def _note(self, live: LiveStream) -> None:
        self._refused = live.refused
        self._finish_reason = live.finish_reason
        live.counted = live.sufficed = True
        count_usage(live.usage)
