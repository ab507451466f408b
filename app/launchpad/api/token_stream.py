"""What the tutorial's endpoints share: from a message to a stream of tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope

from launchpad.api.body import read_json
from launchpad.api.endpoint import Endpoint
from launchpad.api.request_id import REQUEST_ID_HEADER, request_id
from launchpad.core.task import new_run_id
from launchpad.errors import ForbiddenError
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.sse.response import FrameSource, SSEResponse
from launchpad.wire.base import Encoder
from launchpad.wire.frames import FrameStream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.catalog import Catalog, ServedWorkflow

__all__ = ["Asked", "TokenStream"]


@dataclass(frozen=True)
class Asked:
    """What a request asks for: a workflow, what to tell it, and the model id as requested."""

    served: ServedWorkflow
    message: str
    system: str | None = None
    model: str = "default"


class TokenStream(Endpoint):
    """Runs a workflow on one message, and streams its words as tokens.

    A request that is not valid gets an ordinary error; from then on every failure is an event of
    the stream, with status 200. A client that leaves ends the run.

    Where GET is taken too (the parameters are in the query then), it is for a browser's
    `EventSource`. That reconnects by itself when a stream ends, which would run, and pay,
    again: each frame has an `id:`, and a request with `Last-Event-ID` is answered with 204, at
    which a browser stops. A GET that another site's page makes a browser send without saying so
    (an image, a link: no `Origin`, which the gate would judge) is refused by `Sec-Fetch-Site`.
    """

    methods: ClassVar[frozenset[str]] = frozenset({"POST"})

    def __init__(self, catalog: Catalog, runs: Runs, settings: Settings) -> None:
        self._catalog = catalog
        self._runs = runs
        self._settings = settings

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """Validate, start the run, and hand its stream to the response."""
        if scope["method"] == "POST":
            body = await read_json(scope, receive, self._settings.max_body_bytes)
            return self._stream(scope, body, ids=False)
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and "origin" not in headers:
            raise ForbiddenError("Pages of other sites may not start runs here.")
        if headers.get("last-event-id"):
            return Response(status_code=204, headers=request_id())
        return self._stream(scope, dict(QueryParams(scope["query_string"])), ids=True)

    @abstractmethod
    def ask(self, given: Mapping[str, Any]) -> Asked:
        """What the request's body or query asks for. Raises `ValidationError`, `RequestError`."""

    @abstractmethod
    def encoder(self, asked: Asked, *, ids: bool) -> tuple[Encoder, bytes]:
        """The dialect, and what of it leaves before the run begins."""

    def _stream(self, scope: Scope, given: Mapping[str, Any], *, ids: bool) -> SSEResponse:
        asked, settings = self.ask(given), self._settings
        request = _chat_request(asked, given)
        event = asked.served.event(request)
        run_id = new_run_id()
        produce = asked.served.workflow().producer(event, run_id=run_id, request=request)
        key = scope.get("state", {}).get("launchpad.key")
        encoder, greeting = self.encoder(asked, ids=ids)
        frames: FrameSource = FrameStream(
            self._runs.start(produce, run_id=run_id, key=key),
            encoder,
            debounce=settings.debounce,
            heartbeat=settings.heartbeat,
            max_bytes=settings.max_output_bytes,
        )
        if greeting:
            frames = _Greeted(frames, greeting)
        return SSEResponse(
            frames,
            headers={REQUEST_ID_HEADER: run_id},
            send_timeout=settings.send_timeout,
            label=f"run {run_id}",
        )


class _Greeted:
    """Frames with one before them that waits for nothing, not even for the run's place."""

    def __init__(self, frames: FrameSource, greeting: bytes) -> None:
        self._frames = frames
        self._greeting = greeting

    async def __anext__(self) -> bytes:
        greeting, self._greeting = self._greeting, b""
        return greeting or await self._frames.__anext__()

    @property
    def finished(self) -> bool:
        return not self._greeting and self._frames.finished

    async def forward(self, write: Callable[[bytes], bool]) -> None:
        await self._frames.forward(write)

    def cancel(self) -> None:
        self._frames.cancel()

    async def aclose(self) -> None:
        await self._frames.aclose()


def _chat_request(asked: Asked, given: Mapping[str, Any]) -> OpenAIChatSchema:
    """The message as a chat request, as what the workflow takes.

    Fields that the workflow's own schema adds to a chat request's are taken from the body too;
    all other unknown ones are ignored, as the tutorial's apps do.
    """
    schema = asked.served.chat_schema
    own: set[str] = schema.model_fields.keys() - OpenAIChatSchema.model_fields.keys()
    messages = [{"role": "user", "content": asked.message}]
    if asked.system is not None:
        messages.insert(0, {"role": "system", "content": asked.system})
    fields = {name: given[name] for name in own if name in given}
    return schema.model_validate(
        {**fields, "model": asked.model, "messages": messages, "stream": True}
    )


class MessageRequest(BaseModel):
    """What every request has. Fields that are not named here are ignored."""

    message: str
