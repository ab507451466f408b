"""One streamed request of an agent, on the shortest way that gives the same answer.

A request of plain text whose like was learnt, be it for text or for JSON of a schema, is sent at
once (`learnt`), and a plain answer to it is read by `PlainResponse`. All others go through
pydantic-ai's own model; so does an answer of that kind that turns out not to be plain, and a
failure, which pydantic-ai names.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic_ai.messages import InstructionPart
from pydantic_ai.models import ModelRequestParameters

from launchpad.models.agents.plain_response import PlainResponse
from launchpad.models.live.reader import live_for_agent, live_of
from launchpad.models.live.responses import AgentView
from launchpad.models.openai_compatible.client import hand_over
from launchpad.models.openai_compatible.learnt import learnt_requests
from launchpad.models.opening import Opening
from launchpad.observe.tracing import instrumentation

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, StreamedResponse

    from launchpad.models.live.stream import LiveStream
    from launchpad.models.openai_compatible.learnt import LearntRequests, PlainRequest
    from launchpad.models.openai_compatible.stream import ChatStream
    from launchpad.models.scope import RequestScope

__all__ = ["AgentRequest", "Plain"]

_OTHER_FIELDS = tuple(
    field.name
    for field in fields(ModelRequestParameters)
    # What does not count in a comparison is for pydantic-ai's traces, or a setting's echo.
    if field.compare and field.name not in {"instruction_parts", "output_mode", "output_object"}
)
Plain = tuple["LearntRequests", "PlainRequest"]
"""A request that the next may be like, and where that is looked up."""

_others = attrgetter(*_OTHER_FIELDS)
_NO_OTHERS = _others(ModelRequestParameters())


class AgentRequest:
    """A request to `model`; `open` it once.

    `scope` is the client's form, where that is allowed; `listened`, whether someone else than who
    reads the run's result is told of its events.
    """

    def __init__(
        self,
        model: Model,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None,
        scope: RequestScope | None,
        *,
        listened: bool,
    ) -> None:
        self._model = model
        self._messages = messages
        self._settings = settings
        self._parameters = parameters
        self._run_context = run_context
        self._scope = scope
        self._listened = listened

    async def open(self, stack: AsyncExitStack) -> tuple[LiveStream, StreamedResponse]:
        """The answer's live reader, and what the agent is to see; `stack` keeps them open.

        Raises what pydantic-ai's model raises, and `UnsupportedParameterError`.
        """
        plain = self.plain()
        if plain is None:
            return await self.open_usually(stack)
        sent = await self.send(plain)
        if sent is None:
            return await self.open_usually(stack, learns=plain)
        if isinstance(sent, Exception):
            try:
                return await self.open_usually(stack, sent)
            finally:
                del sent
        return await self.read(stack, plain, sent) or await self.open_usually(stack, sent)

    async def send(self, plain: Plain) -> ChatStream | Exception | None:
        """Send what `plain` gave: the open answer, or what went wrong. None where none was learnt.

        Any failure is one that pydantic-ai's own model names, in `open_usually`.
        """
        learnt, request = plain
        try:
            return await learnt.open(request)
        except Exception as error:  # noqa: BLE001
            return error

    async def read(
        self, stack: AsyncExitStack, plain: Plain, sent: ChatStream
    ) -> tuple[LiveStream, PlainResponse] | None:
        """As `open`, of the open answer `sent`, once it has begun.

        None where that begin is for pydantic-ai to read (`open_usually`).
        """
        await stack.enter_async_context(sent)

        async def usual() -> StreamedResponse:
            with hand_over(sent):
                return await stack.enter_async_context(self._asked(self._parameters))

        live = live_for_agent(sent, document=self._speaks_json())
        heard = None if self._listened else live
        response = PlainResponse(self._parameters, sent, plain[0], usual, heard)
        return (live, response) if await response.begin() else None

    async def open_usually(
        self,
        stack: AsyncExitStack,
        sent: ChatStream | Exception | None = None,
        learns: Plain | None = None,
    ) -> tuple[LiveStream, StreamedResponse]:
        """As `open`, by pydantic-ai's own model, over what was `sent` where that is given."""
        asked = Opening(self._model, self._settings, self._parameters, self._scope, self._messages)
        stack.enter_context(asked)
        with hand_over(sent):
            response = await stack.enter_async_context(self._asked(asked.parameters))
        opened = asked.begun()
        if learns is not None:
            learns[0].learn(learns[1], opened, response)
        document = self._speaks_json() or asked.prompts
        live, behind = live_of(opened, response, asked.client_tools, document=document)
        return live, AgentView(behind, asked.client_tools)

    def go_on_as(self, other: AgentRequest) -> None:
        """From here on this is `other`, which asks for the same."""
        self._messages = other._messages
        self._run_context = other._run_context

    def with_settings_of(self, other: AgentRequest) -> AgentRequest:
        """The same request, but for its settings."""
        return AgentRequest(
            self._model,
            self._messages,
            other._settings,
            self._parameters,
            self._run_context,
            self._scope,
            listened=self._listened,
        )

    def _speaks_json(self) -> bool:
        """Whether text is JSON of the agent's own output type. The client's format is its own."""
        return self._parameters.output_mode in {"native", "prompted"}

    def _asked(self, parameters: ModelRequestParameters) -> Any:
        return self._model.request_stream(
            self._messages, self._settings, parameters, self._run_context
        )

    def plain(self) -> Plain | None:
        """The request, where it is one that the next may be like."""
        learnt = learnt_requests(self._model)
        if learnt is None or not learnt.reads_plainly:
            return None
        if self._scope is not None and self._scope.has_form:
            return None
        form = _form(self._parameters)
        if form is None or instrumentation() is not None:
            return None
        parts = self._parameters.instruction_parts
        if parts is not None and any(type(part) is not InstructionPart for part in parts):
            return None
        texts = [part.content for part in parts] if parts is not None else None
        request = learnt.plain(texts, self._messages, self._settings, prepared=True, form=form)
        return (learnt, request) if request is not None else None


def _form(parameters: ModelRequestParameters) -> bytes | None:
    """What tells the form of the answer from others: text, or a schema. None for anything more."""
    if _others(parameters) != _NO_OTHERS:
        return None
    wanted = parameters.output_object
    if wanted is None:
        return b"" if parameters.output_mode == "text" else None
    if parameters.output_mode != "native":
        return None
    try:
        return msgspec.json.encode(
            (wanted.json_schema, wanted.name, wanted.description, wanted.strict)
        )
    except (TypeError, UnicodeEncodeError):
        return None
