"""`POST /v1/chat/completions`."""

from __future__ import annotations

import uuid
from typing import ClassVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope

from launchpad.api.body import read_json
from launchpad.api.collected import CollectedResponse
from launchpad.api.endpoint import Endpoint
from launchpad.errors import PayloadTooLargeError, RequestError
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.sse.response import SSEResponse
from launchpad.wire.frames import FrameStream
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.catalog import Catalog, ServedWorkflow


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
        payload = await read_json(receive, settings.max_body_bytes)
        served = self._find(payload.get("model"))
        messages = payload.get("messages")
        if isinstance(messages, list) and len(messages) > settings.max_messages:
            raise PayloadTooLargeError(
                f"The request has {len(messages)} messages; this server takes "
                f"{settings.max_messages}.",
                param="messages",
            )
        request = served.chat_schema.model_validate(payload)
        run_id = uuid.uuid4().hex
        key = scope.get("state", {}).get("launchpad.key")
        event = served.event(request)
        stream = self._runs.start(served.workflow(), event, run_id=run_id, key=key)
        if not _wants_stream(request, served, Headers(scope=scope)):
            return CollectedResponse(stream, ChatCompletionBuilder(request, run_id=run_id))
        frames = FrameStream(
            stream,
            OpenAIChatEncoder(request, run_id=run_id),
            debounce=settings.debounce,
            heartbeat=settings.heartbeat,
            refusable=True,
        )
        return SSEResponse(frames, send_timeout=settings.send_timeout, label=f"run {run_id}")

    def _find(self, model: object) -> ServedWorkflow:
        if model is not None and not isinstance(model, str):
            raise RequestError("model must be a string.", param="model")
        return self._catalog.find(model or "default")


def _wants_stream(request: OpenAIChatSchema, served: ServedWorkflow, headers: Headers) -> bool:
    if request.stream is not None:
        return request.stream
    return served.workflow.stream_by_default and "application/json" not in headers.get("accept", "")
