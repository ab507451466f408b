"""What a model provider's failure becomes for a client: one `UpstreamError`, safe to show.

    upstream                                    client gets
    401, 403 (our key is wrong)                 502 upstream_authentication
    402 (our account is empty)                  502 upstream_quota_exceeded
    404 (no such model)                         502 upstream_model_not_found
    400, 413, 422 (context length, parameters)  400 with the upstream's words, where they are safe
    any, for an image it cannot read            400 unsupported_content
    408, timeouts                               504 upstream_timeout
    429                                         429 rate_limit_exceeded, with its Retry-After
    5xx                                         502 upstream_error, with its Retry-After
    refused, reset, garbage, cut                502
    a model that refuses to answer              400 content_filter (where a node needs the answer)

Where a provider has another status for one of these, what it means counts (`error_categories`).
An upstream's words are passed on only where they describe the client's own request, and only if no
address, path or key is in them. The log has them, under the same condition, for every failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from launchpad.errors import LaunchpadError, UpstreamError, UpstreamTimeoutError
from launchpad.models.error_bodies import error_object, parameter_of, safe_words, word_of
from launchpad.models.error_categories import broken, code_meant, status_meant
from launchpad.models.retry_after import retry_after_of

if TYPE_CHECKING:
    from pydantic_ai import ModelAPIError, ModelHTTPError

_ANSWERS = frozenset({"ChatCompletion", "ChatCompletionChunk"})
"""What pydantic-ai and OpenAI's SDK take an answer for, before they read it."""
_SDKS = frozenset({"anthropic", "openai", "groq", "mistralai", "httpx", "httpx2", "botocore"})
_SIGNERS = ("botocore", "google.auth")
_OF_CREDENTIALS = re.compile("Credential|Token|Refresh")
"""What these call a failure to find, or to renew, this server's credentials."""
_STATUS = re.compile("[45][0-9]{2}")
_STATUS_BY_CODE = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "insufficient_quota": 402,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "model_not_found": 404,
}
_TOO_LONG = {"exceed_context_size_error", "context_length_exceeded"}
_TOO_LONG_WORDS = re.compile(
    r"maximum context length|context (?:size|window|length)\b.*\bexceed|\bexceed\w*\b.*\bcontext",
    re.IGNORECASE,
)
_CANNOT_READ = re.compile(
    r"\b(image|audio|video) inputs? is not supported|^unsupported content\[\]\.type$", re.IGNORECASE
)
"""llama.cpp's words, some under a status of 500, of a model that takes text only; and of files."""
_OURS = {
    401: ("The model provider refused this server's credentials.", "upstream_authentication"),
    402: ("The model provider's quota is used up.", "upstream_quota_exceeded"),
    403: ("The model provider refused this server's credentials.", "upstream_authentication"),
    404: ("The model provider does not know the configured model.", "upstream_model_not_found"),
}
"""What this server's operator has to put right, not the client."""


def as_upstream_error(error: BaseException) -> UpstreamError | None:
    """The `UpstreamError` that an exception of a model request means; None when it is not one.

    Knows our own, pydantic-ai's (`ModelHTTPError`, `ModelAPIError`, the group that its
    `FallbackModel` raises) and the SDKs' (by their status and headers). Looks through causes: the
    first that says something counts. The result is not raised yet: `raise found from error`.
    """
    for candidate in _chain(error):
        if isinstance(candidate, UpstreamError):
            return candidate
        if isinstance(candidate, LaunchpadError):
            return None
    for candidate in _chain(error):
        found = _from_foreign(candidate)
        if found is not None:
            return found
    return None


def http_error(
    status: int, body: object, *, code: str | None = None, retry_after: float | None = None
) -> UpstreamError:
    """The error for an upstream's HTTP status and (decoded) error body."""
    said = error_object(body)
    found = _meaning(status, said, word_of(code) or _code_of(said), retry_after)
    found.detail = safe_words(said.get("message")) or _status_in_words(status)
    return found


def _status_in_words(status: int) -> str:
    """For the log, where the upstream said no more."""
    redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
    return f"HTTP status {status}{redirect}"


def _meaning(
    status: int, said: dict[str, Any], code: str | None, retry_after: float | None
) -> UpstreamError:
    message = said.get("message")
    unread = _CANNOT_READ.search(message) if isinstance(message, str) else None
    if unread is not None:
        return UpstreamError(
            f"The model takes no {(unread[1] or 'file').lower()} input.",
            status=400,
            code="unsupported_content",
            type="invalid_request_error",
        )
    if status in {400, 413, 422} and code != "insufficient_quota":
        if code in _TOO_LONG or _TOO_LONG_WORDS.search(str(message)):
            code = "context_length_exceeded"
        return UpstreamError(
            safe_words(message) or "The model provider rejected the request.",
            status=400,
            code=code or "upstream_rejected",
            type="invalid_request_error",
            param=parameter_of(said.get("param")),
        )
    if status == 408:
        return UpstreamTimeoutError("The model provider timed out.")
    if code == "insufficient_quota":
        status = 402
    if status == 429:
        return UpstreamError(
            "The model provider's rate limit is reached.",
            status=429,
            code="rate_limit_exceeded",
            type="rate_limit_error",
            retry_after=retry_after,
        )
    if status in _OURS:
        message, our_code = _OURS[status]
        return UpstreamError(message, code=our_code)
    return UpstreamError("The model provider failed.", retry_after=retry_after)


def in_stream_error(said: object) -> UpstreamError:
    """The error for an error object inside a stream: the status that it would have had before."""
    body = cast("dict[str, Any]", said) if isinstance(said, dict) else {"message": said}
    for name in ("code", "type", "status"):
        value = body.get(name)
        status: int | None = None
        # Not every text of digits is a number to `int`, nor every number short enough for `str`.
        if isinstance(value, int) and 400 <= value < 600:
            status = value
        elif isinstance(value, str):
            status = int(value) if _STATUS.fullmatch(value) else _STATUS_BY_CODE.get(value)
        if status is not None:
            return http_error(status, {"error": body})
    found = UpstreamError("The model provider failed while it answered.")
    found.detail = safe_words(body.get("message"))
    return found


def cut(detail: str | None = None) -> UpstreamError:
    """The error for an answer that ended early; what shows that it did is for the log."""
    found = UpstreamError("The model provider's answer ended early.", code="upstream_cut")
    found.detail = detail
    return found


def unreadable() -> UpstreamError:
    """The error for an answer that is not what the provider's protocol has there."""
    return UpstreamError("The model provider sent something that is not a chat stream.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, its causes, and the members of groups, without repetition."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            # The last candidate that a FallbackModel tried says best why there is no answer.
            waiting.extend(reversed(cast("BaseExceptionGroup[BaseException]", current).exceptions))
        if current.__cause__ is not None:
            waiting.append(current.__cause__)
        elif current.__context__ is not None and not current.__suppress_context__:
            waiting.append(current.__context__)


def _from_foreign(error: BaseException) -> UpstreamError | None:
    from pydantic_ai import exceptions  # only when something has failed

    if isinstance(error, exceptions.ModelHTTPError):
        return http_error(
            status_meant(error) or error.status_code,
            error.body,
            code=code_meant(error),
            retry_after=_wait_of(error),
        )
    if isinstance(error, exceptions.ContentFilterError):
        return UpstreamError(
            "The model refused to answer.",
            status=400,
            code="content_filter",
            type="invalid_request_error",
        )
    if isinstance(error, exceptions.ModelTimeoutError | exceptions.ModelRequestTimeout):
        return UpstreamTimeoutError("The model provider timed out.")
    if isinstance(error, exceptions.ModelAPIError):
        return _from_api_error(error)
    return _from_sdk(error)


def _from_api_error(error: ModelAPIError) -> UpstreamError:
    meant = status_meant(error)
    if meant is not None:
        return http_error(meant, error.body, code=code_meant(error), retry_after=error.retry_after)
    if error.body is not None:
        return in_stream_error(error.body)
    status = getattr(error.__cause__, "status_code", None)
    if isinstance(status, int):
        # One below 400 is none of pydantic-ai's HTTP errors.
        return http_error(status, None, retry_after=error.retry_after)
    return UpstreamError(
        broken(error) or "The model provider failed.", retry_after=error.retry_after
    )


def _wait_of(error: ModelHTTPError) -> float | None:
    """What the headers say; pydantic-ai knows no fractions there, but Google's word in the body."""
    wait = retry_after_of(error.headers)
    return error.retry_after if wait is None else wait


def _from_sdk(error: BaseException) -> UpstreamError | None:
    """SDK errors that reach us unmapped: anthropic, openai, groq and mistral share their shape."""
    module = type(error).__module__.partition(".")[0]
    if module == "pydantic_core" and getattr(error, "title", None) in _ANSWERS:
        return unreadable()
    signs = type(error).__module__.startswith(_SIGNERS)
    if module not in _SDKS and not signs:
        return None
    if signs and _OF_CREDENTIALS.search(type(error).__name__):
        words = "This server's credentials for the model provider cannot be used."
        return UpstreamError(words, code="upstream_authentication")
    if "Timeout" in type(error).__name__:
        return UpstreamTimeoutError("The model provider timed out.")
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int):
        wait = retry_after_of(getattr(response, "headers", None))
        return http_error(status, getattr(error, "body", None), retry_after=wait)
    return UpstreamError("The model provider failed.")


def _code_of(said: dict[str, Any]) -> str | None:
    code = word_of(said.get("code"))
    if code is not None:
        return code
    kind = said.get("type")
    return kind if isinstance(kind, str) and kind in _STATUS_BY_CODE else None
