"""Reading a request's body within bounds."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from starlette.types import Receive

from launchpad.errors import PayloadTooLargeError, RequestError


class ClientLeftError(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises `PayloadTooLargeError` above `limit` bytes.

    A body over the limit is read to its end (up to eight times the limit) and thrown away:
    clients write all of it before they look for an answer, and would see a reset otherwise.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if not message.get("more_body", False) or size > 8 * limit:
            break
    if size > limit:
        raise PayloadTooLargeError(
            f"The request's body has {size} bytes or more; this server takes {limit}. Send less, "
            "or raise LAUNCHPAD_MAX_BODY_BYTES."
        )
    return b"".join(chunks)


async def read_json(receive: Receive, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises `RequestError` where it is none."""
    body = await read_body(receive, limit)
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(payload, dict):
        raise RequestError(
            f"The body is a JSON {type(payload).__name__}; send an object.", code="invalid_json"
        )
    return cast("dict[str, Any]", payload)
