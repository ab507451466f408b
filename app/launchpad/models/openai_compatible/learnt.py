"""Plain requests whose payload is known from one that pydantic-ai has mapped.

pydantic-ai maps settings and messages to a payload in some 0.15 ms a request. For a conversation
of plain text everything but the messages is alike whenever the settings are. So the first such
request goes its usual way, and what it sent is kept, if its messages are what `PlainRequest` makes
of the same conversation; the next one with equal settings is that payload with its own messages.
Whatever is not plain (tools, files, thinking, other settings) goes the usual way always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import check_allow_model_requests
from pydantic_ai.models.openai import OpenAIChatModel

from launchpad.models.openai_compatible.client import Opened, RequestOptions, StreamingOpenAI
from launchpad.models.openai_compatible.learnt_usage import LearntUsage
from launchpad.models.openai_compatible.special_tokens import may_have_token

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, StreamedResponse

    from launchpad.models.openai_compatible.stream import ChatStream

__all__ = ["LearntRequests", "Origin", "PlainRequest", "learnt_requests", "plain_request"]

_MOST = 256
_SETTINGS = frozenset(
    {
        "temperature",
        "top_p",
        "max_tokens",
        "stop_sequences",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "openai_user",
        "openai_reasoning_effort",
    }
)
"""Settings that pydantic-ai maps to fields of the payload, whatever the messages are."""

_OF_ONE_REQUEST: Mapping[str, str] = {"openai_user": "user", "seed": "seed"}
"""Those whose value is another in each request, and the field that takes it as it is."""

_SCALARS = (str, int, float, bool)
_Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A conversation of plain text as OpenAI's messages; `key` says which requests are alike.

    `fields` are those of the payload that are this request's own.
    """

    key: tuple[object, ...]
    messages: list[_Message]
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was sent beside the messages."""

    body: Mapping[str, Any]
    options: RequestOptions


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model's answers say that they come from."""

    provider_name: str | None
    provider_url: str | None
    canonical_system: str | None


class LearntRequests:
    """The plain requests of one model, and what is alike in its answers.

    `reads_plainly`: pydantic-ai reads the answers as it reads OpenAI's, with nothing added.
    """

    def __init__(
        self, client: StreamingOpenAI, profile: Mapping[str, Any], *, reads_plainly: bool
    ) -> None:
        self._client = client
        self._system_role: str = profile.get("openai_system_prompt_role") or "system"
        self._announces = profile.get("default_framing_announcement") == "always"
        self.breaks_tokens = bool(profile.get("may_tokenize_special_tokens_in_content"))
        self.reads_plainly = reads_plainly
        self.origin: Origin | None = None
        self.usages = LearntUsage()
        self._known: dict[tuple[object, ...], _Known | None] = {}

    def plain(
        self,
        instructions: Sequence[str] | None,
        messages: Sequence[ModelMessage],
        settings: Mapping[str, Any] | None,
        *,
        prepared: bool = False,
        form: bytes = b"",
    ) -> PlainRequest | None:
        """The request, if it is plain.

        `instructions` come before those that are with the messages; None where there are none.
        An agent's messages are `prepared` (`Model.prepare_messages`) before they come here. `form`
        tells the answer's form, where it is not text, from every other.
        """
        key = _settings_key(settings) if settings else ()
        said = _plain_messages(messages, self._system_role) if key is not None else None
        if key is None or said is None or (instructions and self._announces):
            return None
        carries = False
        for message in messages:
            if type(message) is ModelRequest and message.instructions is not None:
                carries = True
        if carries and instructions is None:
            # pydantic-ai would look for the ones that hold.
            return None
        if self.breaks_tokens and self._has_tokens(said):
            return None
        if instructions:
            # Where pydantic-ai puts them: after the system messages that open the conversation.
            at = 0
            while at < len(said) and said[at]["role"] == self._system_role:
                at += 1
            said[at:at] = [{"role": self._system_role, "content": text} for text in instructions]
        roles = [message["role"] for message in said]
        shape = frozenset(zip(["", *roles], roles, strict=False))
        fields = _own_fields(settings) if settings else {}
        like = (key, shape, instructions is None, carries, prepared, form)
        return PlainRequest(like, said, fields)

    def _has_tokens(self, said: Sequence[_Message]) -> bool:
        """Whether someone else than the system says what may be a special token."""
        for message in said:
            system = message["role"] == self._system_role != "user"
            if not system and may_have_token(message["content"]):
                return True
        return False

    async def open(self, request: PlainRequest) -> ChatStream | None:
        """Send `request` if its like was learnt. Raises the OpenAI SDK's exceptions."""
        known = self._known.get(request.key)
        if known is None:
            return None
        check_allow_model_requests()
        body = {**known.body, **request.fields, "messages": request.messages}
        return await self._client.open(body, known.options)

    def learn(self, request: PlainRequest, sent: Opened, response: StreamedResponse) -> None:
        """Take note of what was sent for `request`, and of who answered."""
        if sent.body is None or request.key in self._known:
            return
        alike = all(
            sent.body.get(name) == value
            for name, value in (("messages", request.messages), *request.fields.items())
        )
        # With a place for the messages, so that the fields keep their order.
        rest = {**sent.body, "messages": ()}
        self._known[request.key] = _Known(rest, sent.options) if alike else None
        self.origin = Origin(
            response.provider_name, response.provider_url, response.canonical_system
        )
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]


def learnt_requests(model: Model) -> LearntRequests | None:
    """Those of `model`, the same at every call; None for a model that our reader does not read."""
    # The model's own class each time: one that wraps another has that one's client, too.
    known: Any = model if _is_chat(type(model)) else None
    client: object = known.client if known is not None else None
    if not isinstance(client, StreamingOpenAI):
        return None
    if client.learnt is None:
        profile: Mapping[str, Any] = dict(model.profile)
        merges = not profile.get("openai_chat_supports_multiple_system_messages", True)
        plainly = bool(getattr(model, "reads_plainly", False))
        client.learnt = False if merges else LearntRequests(client, profile, reads_plainly=plainly)
    return client.learnt or None


@lru_cache(maxsize=256)
def _is_chat(kind: type[Model]) -> bool:
    # Looked up once: `Model` is an ABC.
    return issubclass(kind, OpenAIChatModel)


def plain_request(
    model: Model,
    instructions: Sequence[str] | None,
    messages: Sequence[ModelMessage],
    settings: Mapping[str, Any] | None,
) -> tuple[LearntRequests, PlainRequest] | None:
    """The request, where it is one that the next may be like."""
    learnt = learnt_requests(model)
    if learnt is None:
        return None
    plain = learnt.plain(instructions, messages, settings)
    return (learnt, plain) if plain is not None else None


def _settings_key(settings: Mapping[str, object]) -> tuple[object, ...] | None:
    key: list[object] = []
    for name, value in settings.items():
        if name not in _SETTINGS:
            return None
        if name in _OF_ONE_REQUEST and value is not None:
            key += [name, type(value)]
        elif isinstance(value, list):  # `stop_sequences`
            texts = cast("list[object]", value)
            if any(type(text) is not str for text in texts):
                return None
            key += [name, *texts]
        elif value is None or type(value) in _SCALARS:
            # 1, 1.0 and True, 0.0 and -0.0 are equal, but not the same JSON.
            key += [name, type(value), repr(value)]
        else:
            return None
    return tuple(key)


def _own_fields(given: Mapping[str, Any]) -> dict[str, object]:
    return {
        field: given[name] for name, field in _OF_ONE_REQUEST.items() if given.get(name) is not None
    }


def _plain_messages(messages: Sequence[ModelMessage], system_role: str) -> list[_Message] | None:
    """OpenAI's messages for a conversation of nothing but text, else None."""
    said: list[_Message] = []
    for message in messages:
        if type(message) is ModelRequest:
            if message.metadata:
                return None
            roles = [_role(part, system_role) for part in message.parts]
        elif type(message) is ModelResponse and message.state == "complete":
            if len(message.parts) != 1:
                return None
            roles = ["assistant" if _is_text(message.parts[0]) else None]
        else:
            return None
        for role, part in zip(roles, message.parts, strict=True):
            text = getattr(part, "content", None)
            if role is None or type(text) is not str or not text:
                return None
            said.append({"role": role, "content": text})
    return said


def _role(part: object, system_role: str) -> str | None:
    if type(part) is UserPromptPart:
        return "user"
    return system_role if type(part) is SystemPromptPart and part.dynamic_ref is None else None


def _is_text(part: object) -> bool:
    return type(part) is TextPart and not part.provider_details and not part.citations
