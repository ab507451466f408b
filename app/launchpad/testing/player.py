"""Plays a script on a connection: each step as bytes, at its time, or as its fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from launchpad.testing.answers import is_token
from launchpad.testing.connection import Connection
from launchpad.testing.dialect import Dialect, encode, event_bytes
from launchpad.testing.records import ReceivedRequest
from launchpad.testing.steps import (
    Chunk,
    Delay,
    Die,
    DuplicateToolIndices,
    ErrorEvent,
    Event,
    Garbage,
    HalfEvent,
    Hang,
    Head,
    HugeEvent,
    NoFinish,
    OtherHalf,
    Raw,
    Refuse,
    Repeat,
    Status,
    Step,
    ToolDelta,
    WaitFor,
)

__all__ = ["ErrorBody", "Player"]

ErrorBody = Callable[[int, str], bytes]
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
}
JSON_HEADERS = {"content-type": "application/json"}


class Player:
    """Answers one request. `refuse` closes the listening socket; `error` writes error bodies."""

    def __init__(
        self,
        dialect: Dialect,
        connection: Connection,
        record: ReceivedRequest,
        *,
        error: ErrorBody,
        refuse: Callable[[], None],
    ) -> None:
        self._dialect = dialect
        self._connection = connection
        self._record = record
        self._error = error
        self._refuse = refuse
        self._headers = {"x-request-id": f"req_scripted_{record.number}"}
        self._half = b""
        self._collected_tokens = 0
        self._ended = False

    async def play(self, steps: Iterable[Step]) -> None:
        """Play to the end of the script; the connection is then idle or closed."""
        for step in steps:
            await self._step(step)
            if self._ended:
                return
        await self._finish()

    async def _step(self, step: Step) -> None:
        match step:
            case Chunk():
                await self._say(step)
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case WaitFor(gate=gate):
                await gate.wait()
            case Head():
                self._head()
            case Repeat():
                await self._repeat(step)
            case DuplicateToolIndices():
                await self._say(ToolDelta(0, "{}", "call_first", step.first))
                await self._say(ToolDelta(0, "{}", "call_second", step.second))
            case HugeEvent():
                await self._say(Chunk(step.letter * step.size))
            case Event() | ErrorEvent():
                await self._special(step)
            case Raw() | Garbage() | HalfEvent() | OtherHalf():
                await self._bytes(step)
            case Status() | Hang() | Die() | Refuse() | NoFinish():
                await self._end(step)
            case _:
                await self._say(step)

    def _head(self) -> None:
        if not self._connection.head_sent:
            headers = STREAM_HEADERS if self._dialect.stream else JSON_HEADERS
            self._connection.start(200, headers | self._headers)

    async def _say(self, step: Step) -> None:
        if not self._dialect.stream:
            self._collected_tokens += is_token(step)
            self._dialect.collect(step)
            return
        data = self._dialect.event(step)
        if data:
            self._head()
            await self._connection.write(data)
            self._record.tokens_sent += is_token(step)

    async def _repeat(self, step: Repeat) -> None:
        if step.times is None and not self._dialect.stream:
            raise ValueError("Repeat without `times` has no end: the request must be a stream")
        number = 0
        while step.times is None or number < step.times:
            if number and step.pace:
                await asyncio.sleep(step.pace)
            await self._say(Chunk(step.token(number), step.choice))
            number += 1

    async def _special(self, step: Event | ErrorEvent) -> None:
        streamed = self._dialect.stream
        if isinstance(step, ErrorEvent):
            if not streamed:
                await self._whole(500, self._error(500, step.message), {})
                self._ended = True
                return
            data = self._dialect.error_event(step)
        else:
            data = event_bytes(dict(step.data)) if streamed else encode(dict(step.data))
        self._head()
        await self._connection.write(data)

    async def _bytes(self, step: Raw | Garbage | HalfEvent | OtherHalf) -> None:
        framed = not isinstance(step, Raw) or step.framed
        if framed:
            self._head()
        match step:
            case HalfEvent(text=text, choice=choice):
                whole = self._dialect.event(Chunk(text, choice))
                cut = (whole.rfind(b"data: ") + len(whole)) // 2
                data, self._half = whole[:cut], whole[cut:]
            case OtherHalf():
                data, self._half = self._half, b""
            case Raw(data=data) | Garbage(data=data):
                pass
        await self._connection.write(data, framed=framed)

    async def _end(self, step: Status | Hang | Die | Refuse | NoFinish) -> None:
        self._ended = True
        match step:
            case Status(code=code, headers=headers, body=body, message=message):
                said = message or f"The scripted upstream answers {code}."
                await self._whole(code, self._error(code, said) if body is None else body, headers)
            case Hang():
                await asyncio.get_running_loop().create_future()
            case NoFinish():
                self._ended = False
            case Refuse():
                self._refuse()
                self._drop(reset=True)
            case Die(reset=reset):
                self._drop(reset=reset)

    async def _finish(self) -> None:
        if not self._dialect.stream and not self._connection.head_sent:
            await self._whole(200, self._dialect.body(), {})
            self._record.tokens_sent += self._collected_tokens
            return
        self._head()
        await self._connection.end()
        self._record.finish("complete")

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        given = JSON_HEADERS | self._headers | {name.lower(): v for name, v in headers.items()}
        self._connection.start(status, given, length=len(body))
        await self._connection.write(body)
        await self._connection.end()
        self._record.finish("complete")

    def _drop(self, *, reset: bool) -> None:
        self._record.finish("dropped")
        self._connection.drop(reset=reset)
