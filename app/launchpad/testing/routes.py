"""The scripted upstream's paths: from a request off the socket to the play of its script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from launchpad.testing import anthropic_dialect, openai_dialect
from launchpad.testing.anthropic_dialect import AnthropicDialect
from launchpad.testing.book import ScriptBook
from launchpad.testing.connection import Connection, Incoming
from launchpad.testing.dialect import Dialect
from launchpad.testing.openai_dialect import OpenAIDialect, models_body
from launchpad.testing.player import JSON_HEADERS, Player
from launchpad.testing.prompt import BadPromptError
from launchpad.testing.records import ReceivedRequest, Watch

__all__ = ["Routes"]


class ErrorWriter(Protocol):
    """A dialect's error body for an HTTP status."""

    def __call__(self, status: int, message: str, *, param: str | None = None) -> bytes: ...


@dataclass(frozen=True)
class Door:
    """A path that takes prompts, and the dialect spoken there."""

    path: str
    dialect: Callable[[bytes, int], Dialect]
    error: ErrorWriter


DOORS = (
    Door("/chat/completions", OpenAIDialect, openai_dialect.error_body),
    Door("/messages", AnthropicDialect, anthropic_dialect.error_body),
)


class Routes:
    """Answers requests and keeps the list of them.

    Args: `book` says what to answer; `refuse` closes the listening socket; `errors` takes what
    goes wrong here.
    """

    def __init__(
        self,
        book: ScriptBook,
        watch: Watch,
        *,
        models: list[str],
        api_key: str | None,
        refuse: Callable[[], None],
        errors: list[BaseException],
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self._book = book
        self._watch = watch
        self._models = models
        self._api_key = api_key
        self._refuse = refuse
        self._errors = errors

    async def handle(self, connection: Connection, incoming: Incoming) -> None:
        """Answer one request; the connection is idle or closed afterwards."""
        record = ReceivedRequest(len(self.requests) + 1, incoming, connection, self._watch)
        self.requests.append(record)
        self._watch.notify()
        try:
            await self._answer(connection, incoming, record)
        except asyncio.CancelledError:
            record.finish("left" if connection.closed_by_peer else "stopped")
            raise
        except Exception as error:  # noqa: BLE001  # raised where the upstream is used
            self._errors.append(error)
            connection.drop(reset=True)
            record.finish("dropped")

    async def _answer(
        self, connection: Connection, incoming: Incoming, record: ReceivedRequest
    ) -> None:
        path = incoming.target.partition("?")[0].rstrip("/")
        door = next((door for door in DOORS if path.endswith(door.path)), None)
        error = openai_dialect.error_body if door is None else door.error
        if not self._allowed(incoming):
            await _reply(connection, record, 401, error(401, "Incorrect API key provided."))
        elif door is not None and incoming.method == "POST":
            await self._play(door, connection, record)
        elif path.endswith("/models") and incoming.method == "GET":
            await _reply(connection, record, 200, models_body(self._models))
        else:
            message = f"No such path: {incoming.method} {path}"
            await _reply(connection, record, 404, error(404, message))

    async def _play(self, door: Door, connection: Connection, record: ReceivedRequest) -> None:
        try:
            dialect = door.dialect(record.raw, record.number)
            steps = self._book.steps_for(dialect.prompt)
        except BadPromptError as problem:
            body = door.error(400, problem.message, param=problem.param)
            await _reply(connection, record, 400, body)
            return
        player = Player(dialect, connection, record, error=door.error, refuse=self._refuse)
        await player.play(steps)

    def _allowed(self, incoming: Incoming) -> bool:
        if self._api_key is None:
            return True
        bearer = incoming.headers.get("authorization", "").removeprefix("Bearer ")
        return self._api_key in {bearer, incoming.headers.get("x-api-key")}


async def _reply(connection: Connection, record: ReceivedRequest, status: int, body: bytes) -> None:
    connection.start(status, JSON_HEADERS, length=len(body))
    await connection.write(body)
    await connection.end()
    record.finish("complete")
