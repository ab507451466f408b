"""The dialects of the tutorial's endpoints: plain tokens, and tokens with metadata.

`/chat/stream`        {"token": …, "done": false} … {"token": "", "done": true}
                      or {"error": …, "done": true}
`/chat/stream-meta`   {"event": "start", "model": …}, {"event": "token", "token": …} …,
                      {"event": "done", "tokens": …, "latency_ms": …}
                      or {"event": "error", "message": …}
`/langchain/stream`   {"token": …} … {"done": true}
                      or {"error": …, "done": true}

What the nodes say is text here, JSON included; reasoning and tool calls stay hidden. Failures
are always the documented event, with status 200.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from launchpad.errors import LaunchpadError
from launchpad.events import (
    JsonDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
)
from launchpad.sse.frame import MAX_LINE, escape_json, escape_separators, split_text
from launchpad.wire.base import Failure
from launchpad.wire.order import HOLD_LIMIT, Order
from launchpad.wire.pairs import ends_in_half

__all__ = ["BareTokenEncoder", "TokenEncoder", "TokenMetaEncoder"]

_SPOKEN = (TextDelta, JsonDelta, RefusalDelta)
_ROOM = MAX_LINE - 128
_SURELY_FITS = _ROOM // 6


class _Tokens(ABC):
    """What the two dialects share. `ids` gives each frame an `id:`, counted from 1."""

    _before: bytes
    _after: bytes

    def __init__(self, *, ids: bool = False, hold_limit: int = HOLD_LIMIT) -> None:
        self.ended = False
        """Whether the stream's last byte has been encoded."""
        self._order = Order(hold_limit=hold_limit)
        self._ids = ids
        self._frames = 0
        self._tokens = 0
        self._unsent: list[bytes] = []

    @property
    def media_type(self) -> str:
        """Server-sent events."""
        return "text/event-stream; charset=utf-8"

    def failure(self, event: RunFailed) -> Failure | None:
        """None: these dialects tell every failure in their stream."""
        return None

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """The frames that `events` are. See `Encoder.encode`."""
        if self.ended:
            return b""
        out, self._unsent = self._unsent, []
        try:
            self._write(events, out)
        except LaunchpadError:
            self._unsent = out
            raise
        return b"".join(out)

    @abstractmethod
    def _start(self) -> Iterable[dict[str, Any]]: ...

    @abstractmethod
    def _done(self, event: RunFinished) -> dict[str, Any]: ...

    @abstractmethod
    def _error(self, event: RunFailed) -> dict[str, Any]: ...

    def _write(self, events: Sequence[RunEvent], out: list[bytes]) -> None:
        order = self._order
        for event in cast("Sequence[Any]", events):
            kind: type[RunEvent] = event.__class__
            if kind in order.opened and event.node == order.floor and kind in _SPOKEN:
                text: str = event.text
                whole = text.isascii() or not ends_in_half(text)
                if whole and 0 < len(text) <= _SURELY_FITS:
                    out.append(self._frame(escape_json(text)))
                    continue
            for told in order.push(event):
                self._tell(told, out)

    def _tell(self, event: RunEvent, out: list[bytes]) -> None:
        if isinstance(event, _SPOKEN):
            pieces = split_text(event.text, _ROOM)
            out.extend([self._frame(escape_json(piece)) for piece in pieces])
        elif isinstance(event, RunStarted):
            out.extend(self._object(start) for start in self._start())
        elif isinstance(event, RunFinished):
            out.append(self._object(self._done(event)))
            self.ended = True
        elif isinstance(event, RunFailed):
            out.append(self._object(self._error(event)))
            self.ended = True

    def _frame(self, token: bytes) -> bytes:
        self._tokens += 1
        return self._id() + self._before + token + self._after

    def _object(self, value: dict[str, Any]) -> bytes:
        # Spaced as the tutorial's json.dumps has it.
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return self._id() + b"data: " + escape_separators(text) + b"\n\n"

    def _id(self) -> bytes:
        if not self._ids:
            return b""
        self._frames += 1
        return b"id: %d\n" % self._frames


class TokenEncoder(_Tokens):
    """The dialect of `/chat/stream`."""

    _before = b'data: {"token": '
    _after = b', "done": false}\n\n'

    def _start(self) -> Iterable[dict[str, Any]]:
        return ()

    def _done(self, event: RunFinished) -> dict[str, Any]:
        del event
        return {"token": "", "done": True}

    def _error(self, event: RunFailed) -> dict[str, Any]:
        return {"error": event.message, "done": True}


class BareTokenEncoder(TokenEncoder):
    """The dialect of `/langchain/stream`: `done` comes with the last event only."""

    _after = b"}\n\n"

    def _done(self, event: RunFinished) -> dict[str, Any]:
        del event
        return {"done": True}


class TokenMetaEncoder(_Tokens):
    """The dialect of `/chat/stream-meta`.

    `model` is named in the start event. `tokens` is the upstream's count of output tokens, or
    the number of token events where it gave none; `latency_ms` counts from the encoder's
    construction, in whole milliseconds by `clock` (seconds).
    """

    _before = b'data: {"event": "token", "token": '
    _after = b"}\n\n"

    def __init__(
        self,
        model: str = "default",
        *,
        ids: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        hold_limit: int = HOLD_LIMIT,
    ) -> None:
        super().__init__(ids=ids, hold_limit=hold_limit)
        self._model = model
        self._clock = clock
        self._began = clock()
        self._greeted = False

    def greeting(self) -> bytes:
        """The start event, for a server that sends it before the run begins.

        Nothing where it is out already; `encode` leaves it out after this.
        """
        return b"".join(self._object(start) for start in self._start())

    def _start(self) -> Iterable[dict[str, Any]]:
        if self._greeted:
            return ()
        self._greeted = True
        return ({"event": "start", "model": self._model},)

    def _done(self, event: RunFinished) -> dict[str, Any]:
        tokens = self._tokens if event.usage is None else event.usage.output_tokens
        latency = (self._clock() - self._began) * 1000
        return {"event": "done", "tokens": tokens, "latency_ms": round(latency, 0)}

    def _error(self, event: RunFailed) -> dict[str, Any]:
        return {"event": "error", "message": event.message}
