"""Every error of the HTTP side, in OpenAI's shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from launchpad.errors import LaunchpadError
from launchpad.wire.openai_chat.errors import (
    error_body,
    error_headers,
    http_error_body,
    validation_error_body,
)

SERVED = (
    "This server answers POST /v1/chat/completions, GET /v1/models, POST and GET /chat/stream and "
    "/chat/stream-meta, GET /health and GET /metrics."
)

logger = logging.getLogger("launchpad.api")


def error_response(error: Exception) -> Response:
    """The answer to `error`: its status, OpenAI's error object, whether and when to ask again."""
    if isinstance(error, LaunchpadError):
        if error.status >= 500:
            logger.warning("request failed: %s", error)
        return _json(error.status, error_body(error), error_headers(error))
    if isinstance(error, ValidationError):
        return _json(400, validation_error_body(error))
    if isinstance(error, HTTPException) and error.status_code == 404:
        return _json(404, http_error_body(404, "There is nothing here. " + SERVED))
    if isinstance(error, HTTPException):
        response = _json(error.status_code, http_error_body(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response
    logger.error("request failed", exc_info=error)
    return _json(500, http_error_body(500, "The server could not complete this request."))


async def handle_error(request: Request, error: Exception) -> Response:
    """`error_response` in the form of a Starlette exception handler."""
    return error_response(error)


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")
