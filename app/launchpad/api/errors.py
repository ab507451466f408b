"""Every error of the HTTP side, in OpenAI's shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from launchpad.api.request_id import REQUEST_ID_HEADER, request_id
from launchpad.core.failure import words_of
from launchpad.errors import LaunchpadError
from launchpad.wire.openai_chat.errors import (
    error_body,
    error_headers,
    http_error_body,
    validation_error_body,
)

NOTHING = HTTPStatus.NOT_FOUND.phrase
"""What Starlette says where no route is found; a user's own 404 says what it is about."""
WRONG_METHOD = HTTPStatus.METHOD_NOT_ALLOWED.phrase
"""The same of a method that a route does not take."""
SERVED = (
    "This server answers POST /v1/chat/completions, GET /v1/models, POST and GET /chat/stream and "
    "/chat/stream-meta, GET /health and GET /metrics."
)

logger = logging.getLogger("launchpad.api")


def error_response(error: Exception) -> Response:
    """The answer to `error`: its status, OpenAI's error object, whether and when to ask again.

    For requests whose run has not begun: it gets an id of its own, by which the log knows it.
    """
    headers = request_id()
    if isinstance(error, LaunchpadError):
        if error.status >= 500:
            logger.warning("request %s failed: %s", headers[REQUEST_ID_HEADER], error)
        return _json(error.status, error_body(error), {**headers, **error_headers(error)})
    if isinstance(error, ValidationError):
        return _json(400, validation_error_body(error), headers)
    if isinstance(error, HTTPException):
        words = words_of(error)
        if error.status_code == 404 and words == NOTHING:
            words = "There is nothing here. " + SERVED
        elif error.status_code == 405 and words == WRONG_METHOD:
            allowed = (error.headers or {}).get("Allow", "")
            words = f"Use {', '.join(sorted(allowed.split(', ')))} here." if allowed else words
        body = http_error_body(error.status_code, words)
        response = _json(error.status_code, body, headers)
        response.headers.update(error.headers or {})
        return response
    logger.error("request %s failed", headers[REQUEST_ID_HEADER], exc_info=error)
    body = http_error_body(500, "The server could not complete this request.")
    return _json(500, body, headers)


async def handle_error(request: Request, error: Exception) -> Response:
    """`error_response` in the form of a Starlette exception handler."""
    return error_response(error)


def _json(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(body, status, headers, "application/json")
