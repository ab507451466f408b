"""`OpenAIChatSchema`: the request of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from pydantic import Field, model_validator

from launchpad.wire.openai_chat import consistency
from launchpad.wire.openai_chat.messages import (
    ChatMessage,
    UserMessage,
)
from launchpad.wire.openai_chat.options import (
    AllowedToolChoice,
    ChatTool,
    Flag,
    Integer,
    JsonObjectFormat,
    JsonSchemaFormat,
    Number,
    ResponseFormat,
    Stop,
    StreamOptions,
    ToolChoice,
)
from launchpad.wire.openai_chat.parts import ChatModel, text_of
from launchpad.wire.openai_chat.sampling import model_settings

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, UserContent
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition

__all__ = ["OpenAIChatSchema"]


class ModelForm(TypedDict):
    """The client's tools, which of them must be called, and the JSON format asked for."""

    client_tools: list[ToolDefinition]
    tool_choice: str | list[str] | None
    response_format: Mapping[str, Any] | None


_PLAIN = frozenset({"model", "messages", "stream", "stream_options"})


class OpenAIChatSchema(ChatModel):
    """A chat completion request. Derive from it to add fields; unknown ones are kept anyway.

    Validating its own `model_dump()` gives an equal request.
    """

    model: str = Field(default="default", min_length=1, max_length=256)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: Flag | None = None
    stream_options: StreamOptions | None = None

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[Integer, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[Integer, Field(ge=1)] | None = None
    stop: Stop | None = None
    seed: Annotated[Integer, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[Integer, Field(ge=-100, le=100)]] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    user: str | None = None
    metadata: dict[str, Any] | None = None

    n: Annotated[Integer, Field(ge=1, le=128)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[ChatTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: Flag | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[Integer, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> OpenAIChatSchema:
        consistency.check(self)
        return self

    @property
    def is_plain(self) -> bool:
        """Only messages, a model and how to stream, as most requests are: no need to look at more.

        A derived class's never is: its defaults are its own.
        """
        # Asked for by each who looks for more: what `model_fields_set` is, without a call.
        return self.__class__ is OpenAIChatSchema and self.__pydantic_fields_set__ <= _PLAIN

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with token counts."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    @property
    def valid_json_chunks(self) -> bool:
        """Whether every chunk is to hold a complete JSON object."""
        return self.stream_options is not None and self.stream_options.valid_json_chunks is True

    @property
    def choices(self) -> int:
        """How many answers are wanted (`n`)."""
        return self.n or 1

    @property
    def client_tools(self) -> list[ChatTool]:
        """The tools that the model may call, as `tool_choice` has it (`none`, `allowed_tools`)."""
        chosen, tools = self.tool_choice, list(self.tools or ())
        if isinstance(chosen, AllowedToolChoice):
            allowed = {tool.function.name for tool in chosen.allowed_tools.tools}
            return [tool for tool in tools if tool.function.name in allowed]
        return [] if chosen == "none" else tools

    @property
    def wants_json(self) -> bool:
        """Whether `response_format` asks for JSON."""
        return isinstance(self.response_format, JsonObjectFormat | JsonSchemaFormat)

    def get_message(self) -> str:
        """The last user message's text, its text parts joined; "" where no user has spoken."""
        for message in reversed(self.messages):
            if isinstance(message, UserMessage):
                return text_of(message.content)
        return ""

    def get_message_history(self) -> list[ModelMessage]:
        """What came before the last user message, as pydantic-ai's messages, ready for an agent.

        Where the conversation goes on after it with tool results, or has no user message, this
        is the whole conversation, and `get_user_prompt` is None.
        """
        from launchpad.wire.openai_chat.history import to_model_messages

        end = self._prompt_position()
        if end is None:
            return self.get_messages()
        # Instructions may stand after the user's words; an agent takes those last.
        late = [m for m in self.messages[end:] if m.role in {"system", "developer"}]
        return to_model_messages([*self.messages[:end], *late])

    def get_user_prompt(self) -> str | list[UserContent] | None:
        """The last user message for an agent: its text, or its parts where it has several.

        None where there is nothing new from a user: see `get_message_history`.
        """
        from launchpad.wire.openai_chat.history import to_user_prompt

        position = self._prompt_position()
        if position is None:
            return None
        message = self.messages[position]
        return to_user_prompt(message) if isinstance(message, UserMessage) else None

    def get_messages(self) -> list[ModelMessage]:
        """The whole conversation as pydantic-ai's messages, for one request to a model."""
        from launchpad.wire.openai_chat.history import to_model_messages

        return to_model_messages(self.messages)

    def model_settings(self) -> ModelSettings:
        """The request's sampling parameters in pydantic-ai's terms; only those that were given."""
        return model_settings(self)

    def model_form(self) -> ModelForm:
        """What of the request changes the answer's form, in pydantic-ai's terms."""
        if self.is_plain:
            return {"client_tools": [], "tool_choice": None, "response_format": None}
        from launchpad.wire.openai_chat import client_form

        return {
            "client_tools": client_form.tool_definitions(self),
            "tool_choice": client_form.tool_choice(self),
            "response_format": client_form.response_format(self),
        }

    def _prompt_position(self) -> int | None:
        """Where the user message is that an agent has to answer.

        Assistant words after it (a prefill, which agents don't know) don't count.
        """
        for position in range(len(self.messages) - 1, -1, -1):
            message = self.messages[position]
            if isinstance(message, UserMessage):
                return position
            if message.role in {"tool", "function"}:
                return None
        return None
