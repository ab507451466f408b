"""OpenAI's error object: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from launchpad.errors import AuthenticationError, LaunchpadError
from launchpad.events import RunFailed
from launchpad.stream.failure import failed
from launchpad.wire.base import Failure
from launchpad.wire.openai_chat.chunks import to_json
from launchpad.wire.openai_chat.validation import Problem, explain

__all__ = [
    "error_body",
    "error_headers",
    "error_object",
    "failure",
    "http_error_body",
    "validation_error_body",
]

_LONGEST_MESSAGE = 4096
_INVALID = "invalid_request_error"

_FINAL = frozenset({"invalid_output", "not_configured", "output_too_large"})
"""Codes of 5xx errors that the same request would bring again, each time at its full price."""

_BY_STATUS: Mapping[int, tuple[str, str, str | None]] = {
    400: ("The request is not valid.", _INVALID, None),
    401: ("No valid API key was given.", "authentication_error", "invalid_api_key"),
    403: ("This request is not allowed.", "permission_error", "forbidden"),
    404: ("There is nothing at this address.", _INVALID, "not_found"),
    405: ("This address does not take that method.", _INVALID, "method_not_allowed"),
    408: ("The request took too long to arrive.", _INVALID, "timeout"),
    413: ("The request is too large.", _INVALID, "request_too_large"),
    415: ("The body has to be JSON.", _INVALID, "unsupported_media_type"),
    429: ("Too many requests.", "rate_limit_error", "rate_limit_exceeded"),
}


def error_object(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The whole object; `kind` is its `type`. A message is cut at 4,096 characters."""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(error: RunFailed | LaunchpadError) -> bytes:
    """The object as JSON text, fit for one SSE line. Of an exception, only what may be shown."""
    event = failed(error) if isinstance(error, LaunchpadError) else error
    return to_json(error_object(event.message, kind=event.type, param=event.param, code=event.code))


def http_error_body(status: int, message: str | None = None) -> bytes:
    """The object for an HTTP status that no run and no `LaunchpadError` made (404, 405, 500, …).

    `message` replaces the status's own, where it says more than the status's name.
    """
    fallback = "The server could not complete this request."
    default, kind, code = _BY_STATUS.get(
        status,
        ("The request is not valid.", _INVALID, None)
        if 400 <= status < 500
        else (fallback, "server_error", None),
    )
    return to_json(error_object(message or default, kind=kind, code=code))


def validation_error_body(error: ValidationError | Sequence[Mapping[str, Any]]) -> bytes:
    """The object for a request that is not valid (status 400): the first problem in plain words.

    Takes pydantic's error or a list of `errors()`, such as FastAPI's. `param` is written as
    OpenAI writes it (`messages[0].role`).
    """
    problem: Problem = explain(
        error.errors(include_url=False) if isinstance(error, ValidationError) else error
    )
    return to_json(
        error_object(problem.message, kind=_INVALID, param=problem.param, code=problem.code)
    )


def error_headers(error: RunFailed | LaunchpadError) -> dict[str, str]:
    """Whether, and when, to ask again; for a 401 of ours, how to say who asks (RFC 9110, 11.6.1).

    `Retry-After` is in whole seconds. OpenAI's clients ask a 5xx three times by themselves, unless
    `x-should-retry` says no: it does where asking again is of no use.
    """
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    if error.code in _FINAL:
        headers["x-should-retry"] = "false"
    if isinstance(error, AuthenticationError):
        # RFC 6750, 3, wants a parameter with it.
        headers["www-authenticate"] = 'Bearer realm="launchpad"'
    return headers


def failure(event: RunFailed) -> Failure:
    """The HTTP answer that `event` deserves."""
    headers = {"content-type": "application/json", **error_headers(event)}
    return Failure(event.status, headers, error_body(event))
