"""`LateRun`: a streamed run that pydantic-ai makes when its answer's words are over, if at all.

What a run of data alone asks its model is known without it (`ahead`), and while its answer is read
live it has nothing to do. So the question is asked first, the words are read, and the run begins
when somebody asks for what only it can tell: its output, as `stream_text_deltas` does in the end.
It is pydantic-ai's own run, unchanged; it finds its model's answer there. The first word does not
wait for the run's begin, and an answer that waits for its next word holds no run's memory. Where
nothing is left for the run to do, and that was seen before (`settled_run`), it is not made.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai.exceptions import UserError
from pydantic_ai.result import StreamedRunResult

from launchpad.models.agents.ahead import Expected
from launchpad.models.agents.counting import count_unread
from launchpad.models.agents.followed import is_followed
from launchpad.models.agents.forgotten import end_forgotten_task
from launchpad.models.agents.own_task import InOwnTask
from launchpad.models.agents.streaming_model import make_known, make_unknown
from launchpad.models.agents.unmade import Unmade

if TYPE_CHECKING:
    from weakref import ref

    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.run import AgentRunResult

    from launchpad.models.agents.questions import Questions
    from launchpad.models.live.stream import LiveStream

__all__ = ["LateRun"]


class LateRun:
    """In place of `agent.run_stream(*prompt, **given)`, which it enters at once where it has to."""

    def __init__(self, questions: Questions, *prompt: Any, **given: Any) -> None:
        self._agent = questions.agent
        self._questions = questions
        self._prompt = prompt
        self._given = given
        self._expected = expected = None
        if not is_followed(self._agent):
            self._expected = expected = questions.expected(prompt, given)
        if expected is not None:
            ids = {"run_id": expected.run_id, "conversation_id": expected.conversation_id}
            self._given = {**given, **ids, "message_history": expected.history}
        self._run: Any = None
        """pydantic-ai's own, while it is open."""
        self._result: StreamedRunResult[Any, Any] | None = None
        """What has no run behind it yet."""
        self._made: StreamedRunResult[Any, Any] | None = None
        """The same, once it has."""
        self._making = asyncio.Lock()
        self._entry: ref[LiveStream] | None = None
        self._early_messages: list[ModelMessage] = []
        """What was known of them before the run; the node may have asked for it."""
        self._early_count = 1
        """How many of the run's new ones are there already."""

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

    async def _enter(self, *, apart: bool = False) -> StreamedRunResult[Any, Any]:
        """Begin the run, which meets what was asked already; `apart`, in a task of its own."""
        expected = self._expected
        if expected is None:
            run = self._agent.run_stream(*self._prompt, **self._given)
            result = await run.__aenter__()
        else:
            with expected.awaited():
                run = self._agent.run_stream(*self._prompt, **self._given)
                run = InOwnTask(run) if apart else run
                try:
                    result = await run.__aenter__()
                except BaseException:
                    await expected.close()
                    raise
        self._run = run
        return result

    async def _enter_over(
        self, unmade: StreamedRunResult[Any, Any], *, apart: bool = False
    ) -> StreamedRunResult[Any, Any]:
        """As `_enter`; what was cancelled before its run begins stays cancelled."""
        cancelled = unmade.cancelled
        made = await self._enter(apart=apart)
        cast("Expected", self._expected).note_time(made.new_messages())
        if cancelled:
            await made.cancel()
        return made

    async def begin(self) -> StreamedRunResult[Any, Any]:
        """Begin the run, somewhere within the answer; it ends where this context ends.

        Somebody reads by pydantic-ai's own means: the agent's later runs are begun at once. This
        one is begun where it is read, be it in a scope or a task that is over before it ends.
        """
        async with self._making:
            if self._made is not None:
                return self._made
            unmade = self._unmade()
            self._questions.are_read_live = False
            return self._become(unmade, await self._enter_over(unmade, apart=True))

    async def finish(self) -> Any:
        """Make the whole run, if there is need of it, and give its output.

        It is entered and left here, as it may be within scopes that the node's own code has opened.
        Several tasks may ask for it, and one of them may go away: the next makes the run anew.
        """
        async with self._making:
            if self._made is not None:
                return await self._made.get_output()
            try:
                return await self._finish()
            except BaseException as error:
                end_forgotten_task(error)
                raise

    async def _finish(self) -> Any:
        _, response = cast("Expected", self._expected).answer
        unmade = self._unmade()
        try:
            is_whole = not unmade.cancelled and await response.is_complete()
            whole = await self._whole() if is_whole else None
        except BaseException:
            self._result = unmade
            raise
        if whole is not None:
            messages = whole.all_messages()
            new = len(messages) - len(whole.new_messages())
            result = self._become(unmade, StreamedRunResult(messages, new, run_result=whole))
            output = await result.get_output()
        else:
            result = self._become(unmade, await self._enter_over(unmade))
            run, self._run = self._run, None
            async with AsyncExitStack() as stack:
                stack.push_async_exit(run)
                output = await result.get_output()
        self._complete_early_messages()
        return output

    async def _whole(self) -> AgentRunResult[Any] | None:
        """The whole run's result where the answer is complete, made if it has to be.

        `run` costs less than a stream. None where it fails: what `run_stream` says of the answer,
        another thing, is to be raised.
        """
        expected = cast("Expected", self._expected)
        # Asked again: somebody may have begun to follow it meanwhile.
        made = None if is_followed(self._agent) else self._questions.settled.result(expected)
        if made is None:
            try:
                with expected.awaited():
                    made = await self._agent.run(*self._prompt, **self._given)
            except BaseException as error:
                expected.is_met = False
                if isinstance(error, Exception):
                    return None
                raise
            expected.note_time(made.new_messages())
            self._questions.settled.learn(expected, made)
        count_unread(*expected.answer)
        self._forget_answer(expected)
        await expected.close()
        return made

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
        self._early_messages = unmade.all_messages()
        # A cancelled one has noted the answer so far.
        self._early_count = 2 if unmade.is_complete else 1
        vars(unmade).update(vars(made))
        self._made = unmade
        return unmade

    def _forget_answer(self, expected: Expected) -> None:
        """Let `live_stream` find the answer no more: it is over, as where a run began at once."""
        if self._entry is not None:
            make_unknown(expected.run_id, self._entry)

    def _complete_early_messages(self) -> None:
        """Who asked for the messages before the run has a list that pydantic-ai adds nothing to."""
        if self._made is not None:
            new = self._made.new_messages()
            # Added, as the node may have put its own beside them.
            self._early_messages += new[self._early_count :]
            self._early_count = len(new)

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
        self._made = None
        if self._run is not None:
            live = expected.live
            if live is not None and live.sufficed and self._questions.are_read_live is None:
                self._questions.are_read_live = True
            return await self._run.__aexit__(kind, error, trace)
        if unmade is not None:
            await expected.close(kind, error, trace)
        return None
