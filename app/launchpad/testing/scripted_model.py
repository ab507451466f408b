"""The scripted model inside the process, as a pydantic-ai model: no HTTP, no key, no clock.

    model = ScriptedModel()                       # says the user's words back
    model = ScriptedModel("Always this.")         # or what you give it
    model.script(Chunk("one"), WaitFor(gate), Chunk("two"))

    with override_model(model):
        MyWorkflow().run(...)

The same mind as `ScriptedUpstream`'s: it obeys tools, tool_choice, stop, max_tokens, output
schemas and the commands in a message. Scripts work but for the faults that need a wire;
`Status` raises `ModelHTTPError`, `Die`, `Refuse` and `ErrorEvent` raise `ModelAPIError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import FinishReason, ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from launchpad.testing.agent_prompt import prompt_from_agent
from launchpad.testing.book import Reply, ScriptBook
from launchpad.testing.prompt import BadPromptError, Prompt
from launchpad.testing.steps import (
    Chunk,
    Delay,
    Die,
    Done,
    ErrorEvent,
    Finish,
    Hang,
    Head,
    HugeEvent,
    NoFinish,
    Reasoning,
    Refusal,
    Refuse,
    Repeat,
    Status,
    Step,
    ToolDelta,
    UsageStep,
    WaitFor,
)

__all__ = ["ScriptedModel"]

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
}
Content = Chunk | Reasoning | Refusal | ToolDelta | Finish | UsageStep


class ScriptedModel(ScriptBook, Model[None]):
    """A pydantic-ai model that does what a test tells it.

    Args: `reply`, what it says where no script, command, tool or format decides (the user's own
    words if None); `name`, its model name; `profile`, pydantic-ai's, to play a model without
    JSON schema output for instance.
    """

    def __init__(
        self,
        reply: Reply | None = None,
        *,
        name: str = "scripted",
        profile: ModelProfile | None = None,
    ) -> None:
        ScriptBook.__init__(self, reply)
        capable = ModelProfile(supports_json_schema_output=True, supports_json_object_output=True)
        Model.__init__(self, profile=capable if profile is None else profile)
        self._name = name
        self.prompts: list[Prompt] = []
        """Every request, in order."""

    @property
    def model_name(self) -> str:
        """The name given."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name in traces."""
        return "scripted"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer at once. Raises what the script says."""
        async with self.request_stream(
            messages, model_settings, model_request_parameters
        ) as response:
            async for _ in response:
                pass
        return response.get()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # pydantic-ai's signature
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer token by token. Faults before the first token are raised on entry."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        prompt = prompt_from_agent(messages, settings, parameters, model=self._name)
        self.prompts.append(prompt)
        try:
            steps = self.steps_for(prompt)
        except BadPromptError as error:
            raise ModelHTTPError(400, self._name, {"message": error.message}) from error
        contents = _played(steps, self._name)
        try:
            first = await anext(contents, None)
            yield _ScriptedResponse(parameters, self._name, first, contents)
        finally:
            await contents.aclose()


class _ScriptedResponse(StreamedResponse):
    """Turns content steps into pydantic-ai's events."""

    def __init__(
        self,
        parameters: ModelRequestParameters,
        name: str,
        first: Content | None,
        rest: AsyncIterator[Content],
    ) -> None:
        super().__init__(model_request_parameters=parameters)
        self._name = name
        self._first = first
        self._rest = rest
        self._made = datetime.now(UTC)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        if self._first is None:
            return
        for event in self._events(self._first):
            yield event
        async for step in self._rest:
            for event in self._events(step):
                yield event

    def _events(self, step: Content) -> Iterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        match step:
            case Chunk(text=text):
                yield from parts.handle_text_delta(vendor_part_id="content", content=text)
            case Reasoning(text=text):
                yield from parts.handle_thinking_delta(vendor_part_id="reasoning", content=text)
            case ToolDelta():
                yield from parts.handle_tool_call_delta_events(
                    vendor_part_id=step.index,
                    tool_name=step.name,
                    args=step.arguments,
                    tool_call_id=step.id,
                )
            case Refusal(text=text):
                # As pydantic-ai's OpenAI model reports it.
                details = self.provider_details or {}
                said = str(details.get("refusal", "")) + text
                self.provider_details = {**details, "refusal": said}
                self.finish_reason = "content_filter"
            case Finish(reason=reason):
                if self.finish_reason is None:
                    self.finish_reason = FINISH.get(reason, "stop")
            case UsageStep():
                self._usage = _usage(step)

    async def close_stream(self) -> None:
        """Nothing to close: the script ends with the request."""

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def provider_name(self) -> str | None:
        """The provider's name in traces."""
        return "scripted"

    @property
    def provider_url(self) -> str | None:
        """None: there is no server."""
        return None

    @property
    def timestamp(self) -> datetime:
        """When the answer began, in UTC."""
        return self._made


async def _played(steps: Iterable[Step], name: str) -> AsyncGenerator[Content]:
    """The content of a script, each step at its time; its faults as pydantic-ai's exceptions."""
    for step in steps:
        match step:
            case Chunk() | Reasoning() | Refusal() | ToolDelta() | Finish() | UsageStep():
                # A model on a wire gives the loop a turn between tokens too.
                await asyncio.sleep(0)
                yield step
            case Repeat():
                async for chunk in _repeated(step):
                    yield chunk
            case HugeEvent(size=size, letter=letter):
                yield Chunk(letter * size)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case WaitFor(gate=gate):
                await gate.wait()
            case Hang():
                await asyncio.get_running_loop().create_future()
            case Head():
                pass
            case Done() | NoFinish():
                return
            case _:
                raise _fault(step, name)


async def _repeated(step: Repeat) -> AsyncGenerator[Chunk]:
    number = 0
    while step.times is None or number < step.times:
        await asyncio.sleep(step.pace if number else 0)
        yield Chunk(step.token(number), step.choice)
        number += 1


def _fault(step: Step, name: str) -> Exception:
    match step:
        case Status(code=code, message=message, headers=headers):
            said = message or f"The scripted model answers {code}."
            return ModelHTTPError(code, name, {"message": said}, headers=headers)
        case ErrorEvent(message=message):
            return ModelAPIError(name, message)
        case Die() | Refuse():
            return ModelAPIError(name, "Connection error.")
        case _:
            return TypeError(f"{type(step).__name__} needs a wire: use ScriptedUpstream")


def _usage(step: UsageStep) -> RequestUsage:
    details = {"reasoning_tokens": step.reasoning_tokens} if step.reasoning_tokens else {}
    return RequestUsage(
        input_tokens=step.input_tokens, output_tokens=step.output_tokens, details=details
    )
