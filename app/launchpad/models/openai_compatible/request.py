"""One streaming request: send it, wait for its head, hand its body to a `ChatStream`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import msgspec
from pydantic import BaseModel

from launchpad.errors import UpstreamError, UpstreamTimeoutError
from launchpad.models.openai_compatible.completion import as_stream
from launchpad.models.openai_compatible.json_values import as_object
from launchpad.models.openai_compatible.network import proxy_for, session, tls_context, was_reused
from launchpad.models.openai_compatible.stream import AsSdkError, ChatStream, Reading
from launchpad.models.openai_compatible.watchdog import Patience, Watchdog, timeout_message

_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5.0
_HEADERS = {
    "Accept": "text/event-stream",
    # Compressing a token stream delays it; nothing is gained on lines this short.
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
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


async def open_stream(
    endpoint: Endpoint,
    payload: Mapping[str, Any],
    headers: Mapping[str, str],
    patience: Patience,
    reading: Reading,
    as_sdk_error: AsSdkError,
) -> ChatStream:
    """Send `payload`; return the answer's stream when its head is there.

    Raises `StatusError` for an error status, `ConnectionRefusedError`, `UpstreamTimeoutError`, and
    `UpstreamError` for any other failure. Cancelling it closes the connection.
    """
    watchdog = Watchdog(patience)
    body = msgspec.json.encode(payload, enc_hook=_as_json)
    try:
        async with asyncio.timeout_at(watchdog.first_deadline):
            response = await _send(endpoint.url, body, {**headers, **_HEADERS}, patience)
    except TimeoutError as error:
        if isinstance(error, aiohttp.ServerTimeoutError):
            message = f"The model provider did not accept a connection in {patience.connect:g} s."
        else:
            message = timeout_message(patience.first_token, first=True)
        raise UpstreamTimeoutError(message) from error
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, ConnectionRefusedError):
            raise error.os_error from error
        raise UpstreamError("The model provider could not be reached.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError("The connection to the model provider broke.") from error
    try:
        await _check_status(response)
        stream = ChatStream(response, reading, watchdog, as_sdk_error)
        if response.content_type == "application/json":
            await _feed_whole(stream, response)
    except BaseException:
        watchdog.stop()
        response.close()
        raise
    return stream


async def _send(
    url: str, body: bytes, headers: Mapping[str, str], patience: Patience
) -> aiohttp.ClientResponse:
    """POST; once more when a kept-alive connection turned out to be closed by the other side."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect)
    proxy = proxy_for(url)
    tls = tls_context() if url.startswith("https:") else True
    while True:
        trace: dict[str, bool] = {}
        try:
            return await session().post(
                url,
                data=body,
                headers=headers,
                timeout=timeout,
                proxy=proxy,
                ssl=tls,
                trace_request_ctx=trace,
            )
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            if not was_reused(trace):
                raise


async def _feed_whole(stream: ChatStream, response: aiohttp.ClientResponse) -> None:
    """Some servers answer whole although asked to stream."""
    data = await response.read()
    try:
        body = as_object(json.loads(data))
    except ValueError:
        body = {}
    if not body:
        raise UpstreamError("The model provider sent something that is not a chat stream.")
    if body.get("error"):
        code = as_object(body["error"]).get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        raise StatusError(status, body, response.headers)
    stream.feed(as_stream(body))


async def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        raise StatusError(response.status, await _error_body(response), response.headers)


async def _error_body(response: aiohttp.ClientResponse) -> object:
    """An error's body, as far as it comes soon and is not too large."""
    data = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            while len(data) < _ERROR_BODY_BYTES:
                piece = await response.content.readany()
                if not piece:
                    break
                data += piece
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    response.close()
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _as_json(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Iterable):
        return list(cast("Iterable[object]", value))
    raise NotImplementedError(f"{type(value).__name__} is not JSON")
