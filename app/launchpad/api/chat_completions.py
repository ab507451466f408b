"""`POST /v1/chat/completions`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope

from launchpad.api.body import read_json
from launchpad.api.collected import Builder, CollectedResponse
from launchpad.api.endpoint import Endpoint
from launchpad.api.request_id import REQUEST_ID_HEADER
from launchpad.core.task import new_run_id
from launchpad.errors import PayloadTooLargeError
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.sse.response import SSEResponse
from launchpad.stream.choices import side_by_side
from launchpad.stream.coalesce import coalesce
from launchpad.stream.partial_json.operators import JsonSnapshots
from launchpad.stream.run_stream import EventStream, Producer
from launchpad.wire.frames import FrameStream
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.parameters import (
    IGNORED_HEADER,
    asks_for_nothing_special,
    review,
)
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.wire.openai_chat.several import SeveralChoicesBuilder, SeveralChoicesEncoder
from launchpad.wire.telling import Operator
from launchpad.workflows.catalog import Catalog, ServedWorkflow

_NO_WEIGHT = re.compile(r"q=0(\.0{0,3})?")


class ChatCompletions(Endpoint):
    """Runs the workflow that `model` names, streamed or not."""

    methods: ClassVar[frozenset[str]] = frozenset({"POST"})

    def __init__(self, catalog: Catalog, runs: Runs, settings: Settings) -> None:
        self._catalog = catalog
        self._runs = runs
        self._settings = settings

    async def respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        """Validate, start the run, and hand its stream to the response."""
        settings = self._settings
        payload = await read_json(scope, receive, settings.max_body_bytes)
        served = self._find(payload.get("model"))
        self._check_length(payload.get("messages"))
        request = served.chat_schema.model_validate(payload)
        run_id = new_run_id()
        headers = {REQUEST_ID_HEADER: run_id}
        if not asks_for_nothing_special(request):
            left_out = served.left_out(request, settings)
            if ignored := review(request, served.capabilities(settings), left_out):
                headers[IGNORED_HEADER] = ", ".join(ignored)
        key = scope.get("state", {}).get("launchpad.key")
        stream = self._runs.start(_producer(served, request, run_id), run_id=run_id, key=key)
        if _wants_stream(request, served, scope):
            return self._streamed(stream, request, run_id, headers)
        return CollectedResponse(
            stream,
            _builder(request, run_id),
            headers=headers,
            max_bytes=settings.max_output_bytes,
        )

    def _streamed(
        self, stream: EventStream, request: OpenAIChatSchema, run_id: str, headers: dict[str, str]
    ) -> SSEResponse:
        settings, choices = self._settings, request.choices
        whole = OpenAIChatEncoder(request, run_id=run_id, choices=choices)
        operators = partial(_operators, request, merged=choices > 1 and settings.debounce > 0)
        frames = FrameStream(
            stream,
            whole if choices == 1 else SeveralChoicesEncoder(whole, choices, operators),
            debounce=settings.debounce,
            heartbeat=settings.heartbeat,
            max_bytes=settings.max_output_bytes,
            operators=operators() if choices == 1 else (),
            refusable=True,
        )
        label = f"run {run_id}"
        return SSEResponse(frames, headers=headers, send_timeout=settings.send_timeout, label=label)

    def _check_length(self, messages: Any) -> None:
        limit = self._settings.max_messages
        if not isinstance(messages, list):
            return
        count = len(messages)  # pyright: ignore[reportUnknownArgumentType]
        if count > limit:
            raise PayloadTooLargeError(
                f"The request has {count} messages; this server takes {limit}.", param="messages"
            )

    def _find(self, model: object) -> ServedWorkflow:
        if model is not None and not isinstance(model, str):
            # It is what says whose schema would judge it.
            model = _Named.model_validate({"model": model}).model
        return self._catalog.find(model or None)


class _Named(BaseModel):
    model: str


def _wants_stream(request: OpenAIChatSchema, served: ServedWorkflow, scope: Scope) -> bool:
    if request.stream is not None:
        return request.stream
    return served.workflow.stream_by_default and not _accepts_json(Headers(scope=scope))


def _accepts_json(headers: Headers) -> bool:
    """Whether `Accept` names JSON, with a weight above 0 (RFC 9110, 12.5.1)."""
    for media_range in ",".join(headers.getlist("accept")).lower().split(","):
        name, *parameters = [part.strip() for part in media_range.split(";")]
        if name == "application/json":
            return not any(_NO_WEIGHT.fullmatch(parameter) for parameter in parameters)
    return False


def _producer(served: ServedWorkflow, request: OpenAIChatSchema, run_id: str) -> Producer:
    event = served.event(request)
    if request.choices == 1:
        return served.workflow().producer(event, run_id=run_id, request=request)
    return side_by_side(
        [
            served.workflow().producer(event, run_id=f"{run_id}-{choice}", request=request)
            for choice in range(request.choices)
        ]
    )


def _operators(request: OpenAIChatSchema, *, merged: bool) -> Sequence[Operator]:
    """What happens to the events of one choice; `merged`: their deltas are not merged elsewhere."""
    merging: Sequence[Operator] = (coalesce,) if merged else ()
    return (JsonSnapshots(), *merging) if request.valid_json_chunks else merging


def _builder(request: OpenAIChatSchema, run_id: str) -> Builder:
    whole = ChatCompletionBuilder(request, run_id=run_id, choices=request.choices)
    return whole if request.choices == 1 else SeveralChoicesBuilder(whole)
