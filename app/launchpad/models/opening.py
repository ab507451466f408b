"""A request on its way to a model: what it asks for, who listens, and what a refusal means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.errors import RequestError, UnsupportedParameterError
from launchpad.models.error_bodies import safe_words
from launchpad.models.openai_compatible.client import (
    Opened,
    StreamingOpenAI,
    listen,
    stop_listening,
)
from launchpad.models.openai_compatible.client_form import ClientForm
from launchpad.models.scope import RequestScope, merged_parameters

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import Model, ModelRequestParameters

__all__ = ["Opening"]

_UNSENDABLE = frozenset(
    {
        AssertionError,
        NotImplementedError,
        RuntimeError,
        UnicodeDecodeError,
        UserError,
        ValueError,
    }
)
"""What pydantic-ai's models raise for a file that has no form in their provider's API.

Just these: what it makes of a provider's own answer derives from them.
"""


class Opening:
    """Stands around one streamed request to `model`; say `begun` once its answer is there.

    `parameters` become the agent's own with the form that `scope` has, None where the client's
    form is not for this model; `prompts` says that the model is asked for the client's JSON object
    in words, having no mode for it. Where it cannot be asked for that form, leaving raises
    `UnsupportedParameterError`; where `messages` have a file that it cannot be sent,
    `RequestError`.
    """

    def __init__(
        self,
        model: Model,
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        scope: RequestScope | None,
        messages: Sequence[ModelMessage] = (),
    ) -> None:
        self._model = model
        self._messages = messages
        self._settings = settings
        self._own = parameters
        self._scope = scope
        self._form = _form(scope, parameters)
        self._begun = False
        self._opened = Opened()
        self.parameters = merged_parameters(scope, parameters, client_form=True)
        self.prompts = _prompts(self._form, model)
        if self.prompts:
            self.parameters = replace(self.parameters, prompted_output_template=None)
        self.client_tools = frozenset(self._form.tools if self._form is not None else ())

    def __enter__(self) -> Self:
        self._opened = listen(self._form)
        return self

    def begun(self) -> Opened:
        """The request was sent, its answer has begun: what our own reader has of it."""
        stop_listening()
        self._begun = True
        return self._opened

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._begun:
            return
        stop_listening()
        if isinstance(error, UserError) and (param := self._refused()) is not None:
            words = safe_words(str(error)) or "its rules for schemas are stricter."
            raise UnsupportedParameterError(
                f"The model cannot be asked for this {param!r}: {words}", param=param
            ) from error
        if type(error) in _UNSENDABLE and _is_of_pydantic_ai(error):
            file = _file_of(error, self._messages)
            if file is not None:
                why = " as the text that it says it is" if isinstance(error, UnicodeError) else ""
                raise RequestError(
                    f"The model cannot be sent a file of this request{why}: {file}.",
                    param="messages",
                    code="unsupported_file",
                ) from error

    def _refused(self) -> str | None:
        """Which part of the client's form a model does not take, where that is what it is about."""
        if self._form is None or not self._prepares(self._own):
            return None
        for param in ("tools", "response_format"):
            part = RequestScope(**{_FIELDS[param]: getattr(self._scope, _FIELDS[param])})
            if not self._prepares(merged_parameters(part, self._own, client_form=True)):
                return param
        return None

    def _prepares(self, parameters: ModelRequestParameters) -> bool:
        try:
            for model in _asked(self._model):
                model.prepare_request(self._settings, parameters)
        except UserError:
            return False
        return True


_FIELDS = {"tools": "client_tools", "response_format": "response_format"}


def _form(scope: RequestScope | None, parameters: ModelRequestParameters) -> ClientForm | None:
    if scope is None or not scope.has_form:
        return None
    # An agent's own output comes before the client's format: see `merged_parameters`.
    wanted = scope.response_format if parameters.output_mode == "text" else None
    return ClientForm({tool.name: tool for tool in scope.client_tools}, wanted)


def _prompts(form: ClientForm | None, model: Model) -> bool:
    """Whether a JSON object is wanted of a model that has no mode for it, as Claude.

    pydantic-ai would leave the wish out of its request. Our own reader sends it as it is, whatever
    pydantic-ai thinks of the model (OpenRouter's of other makers, for instance).
    """
    wanted = form.response_format if form is not None else None
    if wanted is None or wanted.get("type") != "json_object":
        return False
    return any(
        not one.profile.get("supports_json_object_output")
        and not isinstance(getattr(one, "client", None), StreamingOpenAI)
        for one in _asked(model)
    )


def _is_of_pydantic_ai(error: BaseException | None) -> bool:
    """Whether its own code raised it, not what that calls."""
    frames = list(_frames(error))
    return bool(frames) and _is_pydantic_ais(frames[-1])


def _frames(error: BaseException | None) -> Iterator[FrameType]:
    """Where an exception came through, the innermost last."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _is_pydantic_ais(frame: FrameType) -> bool:
    name: object = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith("pydantic_ai.")


def _file_of(error: BaseException | None, messages: Sequence[ModelMessage]) -> str | None:
    """The media type of the file that pydantic-ai had in its hands when it raised `error`.

    It does not say which, nor that it is about a file: other errors of the same types have other
    reasons, though there are files in the request. None where it is not about a user's.
    """
    if not any(_files_in(messages)):
        return None
    for frame in reversed([one for one in _frames(error) if _is_pydantic_ais(one)]):
        for held in frame.f_locals.values():
            if isinstance(held, BinaryContent) and not held.is_image:
                return held.media_type
    return None


def _files_in(messages: Sequence[ModelMessage]) -> Iterator[BinaryContent]:
    """What users sent beside words and images."""
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    for part in [part for request in requests for part in request.parts]:
        if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
            for content in part.content:
                if isinstance(content, BinaryContent) and not content.is_image:
                    yield content


def _asked(model: Any) -> Iterator[Model]:
    """The models that may be asked in the end."""
    if isinstance(model, FallbackModel):
        for one in model.models:
            yield from _asked(one)
    elif isinstance(model, WrapperModel):
        yield from _asked(model.wrapped)
    else:
        yield model
