"""What a run is going to ask its model, asked before the run.

pydantic-ai takes a millisecond from a run's begin to its request. But the first request of a run
of data alone (`lean_runs`) follows from its prompt and history, and from what is alike in all runs
of its agent. Once a run has asked what was expected of it, the next one's question can be sent
without it, and the run meets the open answer (`late_run`). What a run asks is compared each time
that one is made.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import pairwise
from random import getrandbits
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, cast

from pydantic_ai.messages import ModelRequest, ModelResponse, UserPromptPart, repair_messages

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import StreamedResponse

    from launchpad.models.agents.plain_response import PlainResponse
    from launchpad.models.agents.questions import Question, Questions
    from launchpad.models.agents.request import AgentRequest, Plain
    from launchpad.models.live.stream import LiveStream
    from launchpad.models.openai_compatible.stream import ChatStream

__all__ = ["Expected", "awaited_request"]


class Expected:
    """The request that one run is expected to make, and its answer where it was asked already."""

    live: LiveStream | None = None
    """Reads the answer of a run that was begun at once."""
    is_met: bool = False
    """The run has made the request."""

    def __init__(self, questions: Questions, prompt: str, history: list[ModelMessage]) -> None:
        self._questions = questions
        self.history = history
        """As it was given; the list is its own: nobody else adds to it."""
        self._before = _in_run(history)
        self.run_id = _uuid7()
        ids = [one.conversation_id for one in reversed(history) if one.conversation_id is not None]
        self.conversation_id = ids[0] if ids else _uuid7()
        self._asked_at = datetime.now(tz=UTC)
        self._asks = ModelRequest(
            [UserPromptPart(prompt, timestamp=self._asked_at)],
            timestamp=self._asked_at,
            run_id=self.run_id,
            conversation_id=self.conversation_id,
        )
        self._stack = AsyncExitStack()
        self._question: Question | None = None
        self._request: AgentRequest | None = None
        self._plain: Plain | None = None
        self._sent: ChatStream | Exception | None = None
        self._answer: tuple[LiveStream, PlainResponse] | None = None

    @property
    def answer(self) -> tuple[LiveStream, PlainResponse]:
        """Two readers of the answer, of which the second is the run's. Only once `ask` was true."""
        return cast("tuple[LiveStream, PlainResponse]", self._answer)

    @property
    def question(self) -> Question:
        """What was asked. Only once `ask` was true."""
        return cast("Question", self._question)

    @property
    def kind(self) -> object:
        """Which requests are like the one that was sent. Only once `ask` was true."""
        return cast("Plain", self._plain)[1].key

    @property
    def model_id(self) -> str | None:
        """The model that is asked, as messages name it."""
        return self._questions.model.model_id

    def messages(self, question: Question) -> list[ModelMessage]:
        """The conversation that is sent, as the run will have it.

        pydantic-ai merges neighbours on one side: the history's in the run, and the request with
        what stands before it only for the model.
        """
        self._asks.instructions = question.instructions
        return [*self._before, self._asks]

    def note_time(self, messages: list[ModelMessage]) -> None:
        """Have the run's own `messages` say when the request was sent."""
        for message in messages:
            if isinstance(message, ModelRequest):
                message.timestamp = self._asked_at
                for part in message.parts:
                    cast("UserPromptPart", part).timestamp = self._asked_at

    def _as_seen(self, question: Question) -> list[ModelMessage]:
        """The same as the run's model is to see it."""
        messages = self.messages(question)
        alternate = len(messages) == 1 or not isinstance(messages[-2], ModelRequest)
        return messages if alternate else _merged(messages)

    async def ask(self) -> bool:
        """Send the request, if it is known; whether its `answer` can be read before the run.

        Where it cannot, what was sent back, be it an error, waits for the run.
        """
        questions = self._questions
        question = questions.question
        if question is None or not questions.are_read_live:
            return False
        self._question = question
        request = self._as_of(question)
        plain = request.plain()
        if plain is None or not questions.knows(plain[1].key):
            return False
        if not questions.model.leaves_alone(self._as_seen(question), question.parameters):
            return False
        self._request, self._plain = request, plain
        try:
            sent = self._sent = await request.send(plain)
            if sent is None or isinstance(sent, Exception):
                return False
            self._answer = await request.read(self._stack, plain, sent)
        except BaseException:
            await self.close()
            raise
        return self._answer is not None

    @contextmanager
    def awaited(self) -> Generator[None]:
        """The next request that is made here is this one."""
        token = _awaited.set(self)
        try:
            yield
        finally:
            _awaited.reset(token)

    async def open(
        self, asked: AgentRequest, question: Question, stack: AsyncExitStack
    ) -> tuple[LiveStream, StreamedResponse]:
        """As `asked.open(stack)`, where the run has `asked` the `question`.

        Raises `RuntimeError` where it is another than was sent, and answered already.
        """
        self.is_met = True
        sent, self._sent = self._sent, None
        await stack.enter_async_context(self._stack)
        if self._answer is not None:
            self._meet(asked)
            return self._answer
        if sent is not None and asked.plain() == self._plain:
            try:
                return await asked.open_usually(stack, sent)
            finally:
                del sent
        self._learn(asked, question)
        opened = await asked.open(stack)
        self.live = opened[0]
        return opened

    async def whole(self, asked: AgentRequest) -> ModelResponse:
        """The `answer` to what the run has `asked`, all of it. Raises as `open`.

        Raises `RuntimeError` for a second request, too: the run found that the answer does not fit.
        """
        if self.is_met:
            raise RuntimeError("An agent's run has asked its model once more.")
        self.is_met = True
        self._meet(asked)
        return self.answer[1].get()

    def _meet(self, asked: AgentRequest) -> None:
        if self._request is None or not self._is_expected(asked, self._request):
            self._questions.are_read_live = False
            raise RuntimeError("An agent's run has not asked what was expected of it.")
        self._request.go_on_as(asked)

    def _is_expected(self, asked: AgentRequest, sent: AgentRequest) -> bool:
        plain = asked.plain()
        if plain == self._plain or self._question is None:
            return plain == self._plain
        # Somebody has changed a message of the history meanwhile, or the settings of all runs: it
        # was answered as it was.
        self._before = _in_run(self.history)
        if self._questions.question is not self._question:
            plain = asked.with_settings_of(sent).plain()
        return plain == self._as_of(self._question).plain()

    def _learn(self, asked: AgentRequest, question: Question) -> None:
        questions = self._questions
        plain = asked.plain()
        if plain is None or (questions.knows(plain[1].key) and questions.question is not None):
            return
        if self._as_of(question).plain() == plain:
            questions.learn(plain[1].key, question)

    def _as_of(self, question: Question) -> AgentRequest:
        messages = self.messages(question)
        model = self._questions.model
        return model.asked(messages, question.settings, question.parameters, None)

    async def close(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Close the answer, if the run has not been given it."""
        await self._stack.__aexit__(kind, error, trace)


def _in_run(history: list[ModelMessage]) -> list[ModelMessage]:
    """A history as a run has it; the same list where that is as it was given."""
    alternates = all(type(one) is not type(then) for one, then in pairwise(history))
    return history if alternates else _merged(history)


def _merged(messages: list[ModelMessage]) -> list[ModelMessage]:
    return repair_messages(messages, repair_last_response=False)


def _uuid7() -> str:
    """An id as pydantic-ai's own (RFC 9562, version 7), which sorts by its time."""
    low = getrandbits(62) | 2 << 62
    text = f"{time_ns() // 1_000_000:012x}7{getrandbits(12):03x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_awaited: ContextVar[Expected | None] = ContextVar("launchpad.awaited_request", default=None)


def awaited_request() -> Expected | None:
    """What is known of the request that is about to be made here, if anything."""
    return _awaited.get()
