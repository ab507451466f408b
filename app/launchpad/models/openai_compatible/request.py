"""One streaming request: send it, wait for its head, hand its body to a `ChatStream`."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, cast

import msgspec
from pydantic import BaseModel

from launchpad.errors import OverloadedError, UpstreamError, UpstreamTimeoutError
from launchpad.models.http.connection import BrokenConnectionError
from launchpad.models.http.pool import ConnectTimeoutError, Response, pool
from launchpad.models.openai_compatible.completion import as_stream
from launchpad.models.openai_compatible.json_values import as_object, error_in
from launchpad.models.openai_compatible.stream import AsSdkError, ChatStream, Reading
from launchpad.models.openai_compatible.watchdog import Patience, Watchdog
from launchpad.models.upstream_errors import unreadable

_WHOLE_BODY_BYTES = 32 * 1024 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5.0
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_HEADERS = {
    "accept": "text/event-stream",
    # Compressing a token stream delays it; nothing is gained on lines this short.
    "accept-encoding": "identity",
    "content-type": "application/json",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where chat completions are asked for, and the headers that say who asks."""

    url: str
    headers: Mapping[str, str]


class StatusError(Exception):
    """The upstream answered with an error status. `body` is decoded JSON, or text."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body
        self.headers = headers


_EVENT = (b"data:", b":", b"event:", b"id:", b"retry:")
"""How a stream of events begins, and no JSON."""


async def open_stream(
    endpoint: Endpoint,
    payload: Mapping[str, Any],
    headers: Mapping[str, str],
    patience: Patience,
    reading: Reading,
    as_sdk_error: AsSdkError,
) -> ChatStream:
    """Send `payload`; return the answer's stream when its head is there.

    Raises `StatusError` for an error status, `ConnectionRefusedError`, `UpstreamTimeoutError`,
    `OverloadedError` where this process may open no more files, and `UpstreamError` for any other
    failure. Cancelling it closes the connection.
    """
    head = _head(tuple(endpoint.headers.items()), tuple(headers.items()))
    body = _encode(payload)
    watchdog = Watchdog(patience)
    try:
        response = await _send(endpoint.url, head, body, patience, watchdog)
        try:
            if not 200 <= response.status < 300:
                await _refuse(response)
            stream = ChatStream(response, reading, watchdog, as_sdk_error)
            if response.header(b"content-type").lower().startswith("application/json"):
                await _feed_whole(stream, response, watchdog)
        except BaseException:
            response.close()
            raise
    except BaseException:
        watchdog.stop()
        raise
    watchdog.idle()
    return stream


async def _send(
    url: str, head: bytes, body: bytes, patience: Patience, watchdog: Watchdog
) -> Response:
    connect = min(patience.connect, patience.first_token)
    try:
        return await pool().post(
            url, head, body, connect_timeout=connect, watch=watchdog.on_timeout
        )
    except ConnectTimeoutError as error:
        raise UpstreamTimeoutError(
            f"The model provider did not accept a connection in {connect:g} s."
        ) from error
    except ConnectionRefusedError:
        raise
    except (OSError, ValueError) as error:
        if watchdog.fired is not None:
            raise UpstreamTimeoutError(watchdog.fired) from error
        if getattr(error, "errno", None) in _NO_FILES:
            raise OverloadedError(
                "This server has too many connections and files open to ask the model now.",
                retry_after=1.0,
                status=503,
            ) from error
        if isinstance(error, BrokenConnectionError):
            raise UpstreamError("The connection to the model provider broke.") from error
        raise UpstreamError("The model provider could not be reached.") from error


@lru_cache(maxsize=256)
def _head(*given: tuple[tuple[str, str], ...]) -> bytes:
    """Header lines; the later of two with one name wins. Raises `ValueError` for a line break."""
    merged = {name.lower(): value for lines in given for name, value in lines} | _HEADERS
    text = "".join(f"{name}: {value}\r\n" for name, value in merged.items())
    if text.count("\n") != len(merged) or text.count("\r") != len(merged) or "\0" in text:
        raise ValueError("a header of the request to the model provider has a line break")
    return text.encode("utf-8")


async def _feed_whole(stream: ChatStream, response: Response, watchdog: Watchdog) -> None:
    """Some servers answer whole although asked to stream; others stream, and call it JSON."""
    data = bytearray()
    begins = True
    try:
        while len(data) < _WHOLE_BODY_BYTES and (piece := await response.read()):
            data += piece
            if not begins:
                continue
            found = bytes(data).lstrip()
            if found.startswith(_EVENT):
                stream.feed(found)
                return
            begins = any(one.startswith(found) for one in _EVENT)
    except OSError as error:
        if watchdog.fired is not None:
            raise UpstreamTimeoutError(watchdog.fired) from error
        raise UpstreamError("The connection to the model provider broke.") from error
    try:
        body = as_object(json.loads(data))
    except (ValueError, RecursionError):
        body = {}
    if not body:
        raise unreadable()
    if said := error_in(body):
        code = as_object(said).get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        raise StatusError(status, body, response.headers)
    try:
        stream.feed(as_stream(body))
    except RecursionError as error:
        raise unreadable() from error


async def _refuse(response: Response) -> NoReturn:
    raise StatusError(response.status, await _error_body(response), response.headers)


async def _error_body(response: Response) -> object:
    """An error's body, as far as it comes soon and is not too large."""
    data = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            while len(data) < _ERROR_BODY_BYTES and (piece := await response.read()):
                data += piece
    except (TimeoutError, OSError):
        pass
    response.finish()
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")


def _as_json(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Iterable):
        return list(cast("Iterable[object]", value))
    raise NotImplementedError(f"{type(value).__name__} is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_as_json)


def _encode(payload: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(payload)
    except UnicodeEncodeError:
        # Half a surrogate pair, which only escapes can say.
        return json.dumps(payload, default=_as_json).encode()
