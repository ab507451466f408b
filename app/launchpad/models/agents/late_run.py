"""`LateRun`: a streamed run that pydantic-ai makes when its answer's words are over.

What a run of data alone asks its model is known without it (`ahead`), and while its answer is read
live it has nothing to do. So the question is asked first, the words are read, and the run begins
when somebody asks for what only it can tell: its output, as `stream_text_deltas` does in the end.
It is pydantic-ai's own run, unchanged; it finds its model's answer there. The first word does not
wait for the run's begin, and an answer that waits for its next word holds no run's memory.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai import Agent
from pydantic_ai._agent_graph import get_captured_run_messages
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.result import StreamedRunResult

from launchpad.models.agents.ahead import Expected, Questions
from launchpad.models.agents.counting import count_unread
from launchpad.models.agents.forgotten import end_forgotten_task
from launchpad.models.agents.streaming_model import make_known, make_unknown
from launchpad.models.agents.unmade import Unmade

if TYPE_CHECKING:
    from weakref import ref

    from pydantic_ai.messages import ModelMessage

    from launchpad.models.live.stream import LiveStream

__all__ = ["LateRun"]


class LateRun:
    """In place of `agent.run_stream(*prompt, **given)`, which it enters at once where it has to."""

    def __init__(
        self, agent: Agent[Any, Any], questions: Questions, *prompt: Any, **given: Any
    ) -> None:
        self._agent = agent
        self._questions = questions
        self._prompt = prompt
        self._given = given
        self._expected = expected = None
        if not _is_followed(agent):
            self._expected = expected = questions.expected(prompt, given)
        if expected is not None:
            ids = {"run_id": expected.run_id, "conversation_id": expected.conversation_id}
            self._given = {**given, **ids, "message_history": expected.history}
        self._run: Any = None
        """pydantic-ai's own, while it is open."""
        self._result: StreamedRunResult[Any, Any] | None = None
        """What has no run behind it yet."""
        self._entry: ref[LiveStream] | None = None
        self._messages: tuple[list[ModelMessage], list[ModelMessage]] = ([], [])
        """What was known of them before the run, and the run's own."""

    async def __aenter__(self) -> StreamedRunResult[Any, Any]:
        expected = self._expected
        question = self._questions.question
        if expected is None or question is None or not await expected.ask():
            return await self._enter()
        live, response = expected.answer
        self._entry = make_known(expected.run_id, live)
        messages = expected.messages(question)
        unmade: Any = Unmade(self, expected, response, self._agent)
        self._result = StreamedRunResult(messages, len(messages) - 1, unmade, None)
        return self._result

    async def _enter(self) -> StreamedRunResult[Any, Any]:
        """Begin the run, which meets what was asked already."""
        expected = self._expected
        if expected is None:
            run = self._agent.run_stream(*self._prompt, **self._given)
            result = await run.__aenter__()
        else:
            with expected.awaited():
                run = self._agent.run_stream(*self._prompt, **self._given)
                try:
                    result = await run.__aenter__()
                except BaseException:
                    await expected.close()
                    raise
        self._run = run
        return result

    async def _become_begun(
        self, unmade: StreamedRunResult[Any, Any]
    ) -> StreamedRunResult[Any, Any]:
        """Begin the run, and let `unmade` be its result; cancelled, where that is."""
        made = await self._enter()
        if unmade.cancelled:
            await made.cancel()
        return self._become(unmade, made)

    async def begin(self) -> StreamedRunResult[Any, Any]:
        """Begin the run, somewhere within the answer; it ends where this context ends.

        Somebody reads by pydantic-ai's own means: the agent's later runs are begun at once.
        """
        unmade = self._unmade()
        self._questions.are_read_live = False
        return await self._become_begun(unmade)

    async def finish(self) -> Any:
        """Make the whole run, and give its output.

        It is entered and left here, as it may be within scopes that the node's own code has opened.
        """
        try:
            return await self._finish(self._unmade())
        except BaseException as error:
            end_forgotten_task(error)
            raise

    async def _finish(self, unmade: StreamedRunResult[Any, Any]) -> Any:
        _, response = cast("Expected", self._expected).answer
        is_whole = not unmade.cancelled and await response.is_complete()
        whole = await self._whole() if is_whole else None
        if whole is not None:
            result = self._become(unmade, whole)
            output = await result.get_output()
        else:
            result = await self._become_begun(unmade)
            run, self._run = self._run, None
            async with AsyncExitStack() as stack:
                stack.push_async_exit(run)
                output = await result.get_output()
        self._complete_early_messages()
        return output

    async def _whole(self) -> StreamedRunResult[Any, Any] | None:
        """Make the run of an answer that is complete: `run` costs less than a stream.

        None where it fails: what `run_stream` says of the answer, another thing, is to be raised.
        """
        expected = cast("Expected", self._expected)
        try:
            with expected.awaited():
                made = await self._agent.run(*self._prompt, **self._given)
        except Exception:  # noqa: BLE001
            expected.is_met = False
            return None
        count_unread(*expected.answer)
        self._forget_answer(expected)
        await expected.close()
        messages = made.all_messages()
        return StreamedRunResult(
            messages, len(messages) - len(made.new_messages()), run_result=made
        )

    @property
    def is_left(self) -> bool:
        """Whether the run can no longer be made."""
        return self._result is None

    def _unmade(self) -> StreamedRunResult[Any, Any]:
        unmade, self._result = self._result, None
        if unmade is None:
            raise UserError("The run was left before anybody asked for its output.")
        return unmade

    def _become(
        self, unmade: StreamedRunResult[Any, Any], made: StreamedRunResult[Any, Any]
    ) -> StreamedRunResult[Any, Any]:
        """Let the result that the node has be the run's own."""
        asked_at = cast("Expected", self._expected).asked_at
        for message in made.new_messages():
            if isinstance(message, ModelRequest):
                message.timestamp = asked_at
                for part in message.parts:
                    cast("UserPromptPart", part).timestamp = asked_at
        self._messages = unmade.all_messages(), made.all_messages()
        vars(unmade).update(vars(made))
        return unmade

    def _forget_answer(self, expected: Expected) -> None:
        """Let `live_stream` find the answer no more: it is over, as where a run began at once."""
        if self._entry is not None:
            make_unknown(expected.run_id, self._entry)

    def _complete_early_messages(self) -> None:
        """Who asked for the messages before the run has a list that pydantic-ai adds nothing to."""
        early, messages = self._messages
        early[:] = messages

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        unmade, self._result = self._result, None
        expected = self._expected
        if expected is None:
            return await self._run.__aexit__(kind, error, trace)
        self._forget_answer(expected)
        self._complete_early_messages()
        if self._run is not None:
            live = expected.live
            if live is not None and live.sufficed and self._questions.are_read_live is None:
                self._questions.are_read_live = True
            return await self._run.__aexit__(kind, error, trace)
        if unmade is not None:
            if error is None:
                count_unread(*expected.answer)
            await expected.close(kind, error, trace)
        return None


def _is_followed(agent: Agent[Any, Any]) -> bool:
    """Whether somebody follows what runs do here: by traces, or by `capture_run_messages`."""
    traced = agent.instrument
    if traced is None:
        # What `Agent.instrument_all` has set; where it is no longer there, anybody may follow.
        traced = getattr(Agent, "_instrument_default", True)
    if traced:
        return True
    try:
        get_captured_run_messages()
    except LookupError:
        return False
    return True
