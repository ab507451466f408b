"""`CollectedResponse`: a run as one JSON body, for `stream: false`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from launchpad.errors import LaunchpadError, OutputTooLargeError
from launchpad.events import RunEvent, RunFailed
from launchpad.stream.failure import failed
from launchpad.stream.run_stream import EventStream
from launchpad.stream.size import size_of
from launchpad.wire.base import Failure

logger = logging.getLogger("launchpad.run")


class Builder(Protocol):
    """Collects a run's events into one body."""

    def add(self, events: Sequence[RunEvent]) -> None:
        """Take the next events."""
        ...

    def body(self) -> bytes:
        """The JSON body, once the run has finished."""
        ...

    def failure(self, event: RunFailed) -> Failure:
        """The answer to a failed run."""
        ...


class CollectedResponse:
    """Runs to the end, then answers. A client that leaves meanwhile ends the run at once."""

    def __init__(
        self,
        stream: EventStream,
        builder: Builder,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self._stream = stream
        self._builder = builder
        self._headers = dict(headers or {})
        self._max_bytes = max_bytes
        self._size = 0
        self._left = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the response."""
        watcher = asyncio.get_running_loop().create_task(self._watch(receive))
        try:
            response = await self._collect()
            if not self._left:
                await response(scope, receive, send)
        finally:
            watcher.cancel()
            await self._stream.aclose()

    async def _collect(self) -> Response:
        try:
            while not self._stream.finished:
                events = await self._stream.batch()
                if events and isinstance(events[-1], RunFailed):
                    return self._failure(events[-1])
                self._check_size(events)
                self._builder.add(events)
            if self._left:
                return Response(status_code=499, headers=self._headers)
            return Response(self._builder.body(), 200, self._headers, "application/json")
        except Exception as error:
            if not isinstance(error, LaunchpadError):
                logger.exception("what a run said could not be collected")
            return self._failure(failed(error))

    def _check_size(self, events: Sequence[RunEvent]) -> None:
        if self._max_bytes is None:
            return
        self._size += size_of(events)
        if self._size > self._max_bytes:
            raise OutputTooLargeError(self._max_bytes)

    def _failure(self, failure: RunFailed) -> Response:
        answer = self._builder.failure(failure)
        headers = {**self._headers, **answer.headers}
        return Response(answer.body, answer.status, headers, "application/json")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._stream.cancel()
