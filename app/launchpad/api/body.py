"""Reading a request's body within bounds."""

from __future__ import annotations

import codecs
import re
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from launchpad.errors import PayloadTooLargeError, RequestError

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT: Final = rb"\ufffd"
_JSON_WORDS: Final[dict[type, str]] = {
    str: "a JSON string",
    int: "a JSON number",
    float: "a JSON number",
    bool: "a JSON boolean",
    list: "a JSON array",
    type(None): "null",
}
"""What msgspec decodes to, but an object, in JSON's own words."""


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
        raise _too_large(size, limit)
    return b"".join(chunks)


def _too_large(size: int, limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The request's body has {size} bytes or more; this server takes {limit}. Send less, "
        "or raise LAUNCHPAD_MAX_BODY_BYTES."
    )


def _check_unsent(headers: Headers, limit: int) -> None:
    """Refuse a body that its client does not send before it is asked to (RFC 9110, 10.1.1).

    To begin to read it is to ask. Raises `PayloadTooLargeError`.
    """
    size = headers.get("content-length", "")
    if headers["expect"].lower() == "100-continue" and size.isdecimal() and int(size) > limit:
        raise _too_large(int(size), limit)


async def read_json(scope: Scope, receive: Receive, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises `RequestError`; `HTTPException` 415 where it is compressed.

    A byte order mark is skipped (RFC 8259, 8.1); an escaped surrogate without its other half, which
    the grammar allows and UTF-8 does not, becomes U+FFFD.
    """
    coding = ""
    for name, _ in scope["headers"]:
        if name == b"content-encoding":
            coding = Headers(scope=scope)["content-encoding"].strip().lower()
        elif name == b"expect":
            _check_unsent(Headers(scope=scope), limit)
    body = await read_body(receive, limit)
    if coding not in {"", "identity"}:
        raise HTTPException(
            415,
            f"The body's Content-Encoding is {coding[:64]!r}; send it as it is, without one.",
            {"accept-encoding": "identity"},
        )
    try:
        payload = _decode(body.removeprefix(codecs.BOM_UTF8))
    except RecursionError as error:
        raise RequestError(
            "The body is nested too deeply; send JSON with fewer levels.", code="invalid_json"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"JSON: {error}" if _is_utf8(body) else "UTF-8."
        raise RequestError(f"The body is not valid {reason}", code="invalid_json") from error
    if not isinstance(payload, dict):
        kind = _JSON_WORDS[type(payload)]
        raise RequestError(f"The body is {kind}; send a JSON object.", code="invalid_json")
    return payload  # pyright: ignore[reportUnknownVariableType]


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        # msgspec takes no lone surrogate. Backslashes stand in strings only, so this changes
        # nothing else.
        whole = _ESCAPE.sub(_without_lone_surrogate, body)
        if whole == body:
            raise
        return msgspec.json.decode(whole)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if escape["lone"] else escape[0]
