"""OpenAI's error object: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import ValidationError

from launchpad.errors import LaunchpadError
from launchpad.events import RunFailed
from launchpad.sse.frame import escape_separators
from launchpad.wire.base import Failure
from launchpad.wire.openai_chat.validation import explain

__all__ = [
    "error_body",
    "error_object",
    "failed_request",
    "failure",
    "from_exception",
    "from_status",
    "from_validation",
]

_LONGEST_MESSAGE = 4096

_BY_STATUS: Mapping[int, tuple[str, str, str | None]] = {
    400: ("The request is not valid.", "invalid_request_error", None),
    401: ("No valid API key was given.", "authentication_error", "invalid_api_key"),
    403: ("This request is not allowed.", "permission_error", "forbidden"),
    404: ("There is nothing at this address.", "invalid_request_error", "not_found"),
    405: ("This address does not take that method.", "invalid_request_error", "method_not_allowed"),
    408: ("The request took too long to arrive.", "invalid_request_error", "timeout"),
    409: ("The request conflicts with another.", "invalid_request_error", "conflict"),
    413: ("The request is too large.", "invalid_request_error", "request_too_large"),
    415: ("The body has to be JSON.", "invalid_request_error", "unsupported_media_type"),
    422: ("The request is not valid.", "invalid_request_error", None),
    429: ("Too many requests.", "rate_limit_error", "rate_limit_exceeded"),
}
_SERVER_ERROR = ("The server could not complete this request.", "server_error", None)


def error_object(
    message: str, *, kind: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The whole object, in OpenAI's key order; `kind` is its `type`. A message beyond 4,096 characters is cut."""
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(event: RunFailed) -> bytes:
    """`event` as the JSON text of OpenAI's error object, fit for one SSE line."""
    body = error_object(event.message, kind=event.type, param=event.param, code=event.code)
    try:
        return escape_separators(msgspec.json.encode(body))
    except UnicodeEncodeError:
        clean = {key: _clean(value) for key, value in body["error"].items()}
        return escape_separators(msgspec.json.encode({"error": clean}))


def failure(event: RunFailed) -> Failure:
    """The HTTP answer that `event` deserves, with `Retry-After` in whole seconds."""
    headers = {"content-type": "application/json"}
    if event.retry_after is not None:
        headers["retry-after"] = str(max(0, math.ceil(event.retry_after)))
    return Failure(event.status, headers, error_body(event))


def from_exception(error: BaseException) -> RunFailed:
    """What a client may learn of `error`: a `LaunchpadError`'s public message, or no detail."""
    if isinstance(error, LaunchpadError):
        return RunFailed(
            error.public_message,
            status=error.status,
            type=error.type,
            code=error.code,
            param=error.param,
            retry_after=error.retry_after,
        )
    if isinstance(error, ValidationError):
        return from_validation(error.errors(include_url=False))
    return from_status(500)


def from_validation(problems: Sequence[Mapping[str, Any]]) -> RunFailed:
    """A 400 out of pydantic's `errors()`, or FastAPI's: the first problem in plain words.

    `param` is written as OpenAI writes it (`messages[0].role`).
    """
    problem = explain(problems)
    return RunFailed(
        problem.message,
        status=400,
        type="invalid_request_error",
        code=problem.code,
        param=problem.param,
    )


def from_status(
    status: int, message: str | None = None, *, retry_after: float | None = None
) -> RunFailed:
    """The error of an HTTP status, for answers that no run made (404, 405, 500, …)."""
    default, kind, code = _BY_STATUS.get(status, _SERVER_ERROR)
    return RunFailed(
        message or default, status=status, type=kind, code=code, retry_after=retry_after
    )


def failed_request(error: BaseException) -> Failure:
    """`failure(from_exception(error))`: the answer to a request that never became a run."""
    return failure(from_exception(error))


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
