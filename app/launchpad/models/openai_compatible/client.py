"""The OpenAI SDK's client with its chat completions replaced by ours.

pydantic-ai maps messages, tools and settings to the arguments of `chat.completions.create`, which
is where the SDK would begin. Ours sends them as they are (the SDK's own transformation costs
0.2 ms a request and changes nothing in what pydantic-ai makes), and what comes back is read by
`ChatStream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import httpx2
import openai
from openai.resources.chat import AsyncChat, AsyncCompletions

from launchpad.errors import UpstreamError, UpstreamTimeoutError
from launchpad.models.error_bodies import error_object
from launchpad.models.openai_compatible.completion import CompletionBuilder
from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.openai_compatible.request import Endpoint, StatusError, open_stream
from launchpad.models.openai_compatible.sdk_transport import sdk_client
from launchpad.models.openai_compatible.stream import ChatStream, Reading
from launchpad.models.openai_compatible.watchdog import Patience, patience_for

if TYPE_CHECKING:
    from launchpad.models.openai_compatible.client_form import ClientForm
    from launchpad.models.openai_compatible.learnt import LearntRequests

Locate = Callable[[], Awaitable[Endpoint]]
"""Finds where the upstream is; may take long the first time (the local model starts then)."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a request says beside its body."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout: object = None
    """None: the settings'."""


@dataclass(slots=True)
class Opened:
    """The latest stream that was opened while a caller was listening for it, and its request.

    `form` is what the request is to ask for as the client gave it.
    """

    form: ClientForm | None = None
    stream: ChatStream | None = None
    body: Mapping[str, Any] | None = None
    options: RequestOptions = RequestOptions()


_listening: ContextVar[Opened | None] = ContextVar("launchpad_opened_stream", default=None)
_handed: ContextVar[ChatStream | Exception | None] = ContextVar(
    "launchpad_handed_stream", default=None
)


def listen(form: ClientForm | None = None) -> Opened:
    """From now on, this task's requests through a `StreamingOpenAI` leave their stream here.

    They ask for `form` as it is.
    """
    opened = Opened(form)
    _listening.set(opened)
    return opened


def stop_listening() -> None:
    """Requests leave their stream nowhere again."""
    _listening.set(None)


@contextmanager
def hand_over(answer: ChatStream | Exception | None) -> Generator[None]:
    """Inside, what this task asks a `StreamingOpenAI` is not sent: it was, and `answer` came of it.

    An exception is raised as if sending had raised it. With None, it is sent.
    """
    token = _handed.set(answer)
    try:
        yield
    finally:
        _handed.reset(token)


def asked_form() -> ClientForm | None:
    """The form that this task's requests are to ask for as it is."""
    listener = _listening.get()
    return listener.form if listener is not None else None


class StreamingOpenAI(openai.AsyncOpenAI):
    """`AsyncOpenAI` whose chat completions are read by `ChatStream`; other endpoints are the SDK's.

    A request without `stream` is streamed too and put together: a server notices a disconnect
    then. There are no retries here; `locate` is asked again once when the connection is refused.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        patience: Patience,
        reading: Reading,
        locate: Locate | None = None,
    ) -> None:
        http_client = sdk_client()
        super().__init__(api_key=api_key, base_url=base_url, max_retries=0, http_client=http_client)
        self._patience = patience
        self._reading = reading
        self._locate = locate
        self._endpoint: Endpoint | None = None
        self.learnt: LearntRequests | Literal[False] | None = None
        """What `learnt_requests` keeps here for its model; False where it keeps nothing."""

    def copy(self, **_: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Itself: pydantic-ai copies a client to set `max_retries`, which is not used here."""
        return self

    with_options = copy  # pyright: ignore[reportAssignmentType]

    @cached_property
    def chat(self) -> AsyncChat:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Chat completions, by our reader."""
        return _Chat(self)

    async def complete(self, *, stream: bool, options: RequestOptions, body: dict[str, Any]) -> Any:
        """Send `body`. The answer comes back as `ChatStream`, or whole."""
        body["stream"] = True
        asked = body.setdefault("stream_options", {"include_usage": True})
        handed = _handed.get()
        if isinstance(handed, Exception):
            raise handed
        opened = handed or await self.open(body, options)
        if stream:
            opened.counts_as_given = bool(as_object(asked).get("continuous_usage_stats"))
            listener = _listening.get()
            if listener is not None:
                listener.stream, listener.body, listener.options = opened, body, options
            return opened
        async with opened:
            builder = CompletionBuilder(str(body.get("model")))
            try:
                while items := await opened.pull():
                    builder.add(items)
            except UpstreamError as error:
                raise self._as_sdk_error(error) from error
        return builder.build()

    async def open(self, payload: Mapping[str, Any], options: RequestOptions) -> ChatStream:
        """Send `payload` as it is. Raises the SDK's exceptions."""
        patience = patience_for(options.timeout, self._patience)
        known = self._endpoint
        endpoint = known or await self._find_endpoint()
        try:
            try:
                return await self._send(endpoint, payload, options, patience)
            except ConnectionRefusedError:
                if self._locate is None or known is None:
                    raise
                # What answered before is gone: the local model may have been started anew.
                self._endpoint = None
                endpoint = await self._find_endpoint()
                return await self._send(endpoint, payload, options, patience)
        except ConnectionRefusedError as error:
            refused = UpstreamError("The model provider could not be reached.")
            raise self._as_sdk_error(refused) from chained(refused, error)
        except StatusError as error:
            raise _status_error(error, endpoint.url) from error
        except UpstreamError as error:
            raise self._as_sdk_error(error) from error

    async def _send(
        self,
        endpoint: Endpoint,
        payload: Mapping[str, Any],
        options: RequestOptions,
        patience: Patience,
    ) -> ChatStream:
        return await open_stream(
            endpoint, payload, options.headers, patience, self._reading, self._as_sdk_error
        )

    async def _find_endpoint(self) -> Endpoint:
        if self._locate is not None:
            self._endpoint = await self._locate()
        else:
            # `default_headers`: what names the organisation, and the SDK's own statistics.
            named = {
                name: value
                for name, value in _given(self.default_headers).items()
                if not name.lower().startswith("x-stainless")
            }
            url = str(self.base_url).rstrip("/") + "/chat/completions"
            self._endpoint = Endpoint(url, {**named, "Authorization": f"Bearer {self.api_key}"})
        return self._endpoint

    def _as_sdk_error(self, error: UpstreamError) -> Exception:
        """The SDK's exception for one of ours; pydantic-ai turns it into a `ModelAPIError`."""
        request = httpx2.Request("POST", "https://upstream/")
        if isinstance(error, UpstreamTimeoutError):
            return openai.APITimeoutError(request)
        if error.code == "upstream_error" and error.__cause__ is None:
            return openai.APIError(str(error), request, body=None)
        return openai.APIConnectionError(message=str(error), request=request)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Completions(cast("StreamingOpenAI", self._client))


class _Completions(AsyncCompletions):
    """`create` alone is ours."""

    def __init__(self, client: StreamingOpenAI) -> None:
        super().__init__(client)
        self._ours = client

    async def create(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *,
        stream: Any = False,
        extra_headers: Mapping[str, Any] | None = None,
        extra_body: Any = None,
        timeout: Any = None,
        **params: Any,
    ) -> Any:
        body = {name: value for name, value in params.items() if not isinstance(value, _LEFT_OUT)}
        if (form := asked_form()) is not None:
            form.put_back(body)
        body.update(as_object(extra_body))
        options = RequestOptions(
            _given(extra_headers), None if isinstance(timeout, _LEFT_OUT) else timeout
        )
        return await self._ours.complete(stream=stream is True, options=options, body=body)


_LEFT_OUT = (openai.Omit, openai.NotGiven)


def chained(error: UpstreamError, cause: BaseException) -> UpstreamError:
    """`error` with its cause set, for `raise … from`."""
    error.__cause__ = cause
    return error


def _status_error(error: StatusError, url: str) -> openai.APIStatusError:
    """As the SDK raises it, so that pydantic-ai finds codes, headers and content filters."""
    request = httpx2.Request("POST", url)
    response = httpx2.Response(error.status, headers=dict(error.headers), request=request)
    body: Any = error_object(error.body) or error.body
    if not isinstance(as_object(body).get("code", ""), str):
        # The SDK makes a text of whatever stands there.
        body = {**body, "code": None}
    return openai.APIStatusError(f"HTTP status {error.status}", response=response, body=body)


def _given(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Headers without the SDK's markers for "leave this one out"."""
    return {name: value for name, value in (headers or {}).items() if isinstance(value, str)}
