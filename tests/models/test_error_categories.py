"""What providers mean by an error whose status is not HTTP's for that."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import exceptions as of

from launchpad.models.error_bodies import error_object
from launchpad.models.upstream_errors import as_upstream_error

GOOGLE = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID"}],
    }
}
LONG = {"error": {"message": "The input token count (9) exceeds the maximum", "code": 400}}
DAILY = {"error": {"message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}
MODEL = {"Error": {"Message": "The provided model identifier is invalid."}}


@pytest.mark.parametrize(
    ("category", "status", "body", "wanted"),
    [
        (of.ModelAuthenticationError, 400, GOOGLE, (502, "upstream_authentication")),
        (of.ModelQuotaExceededError, 429, DAILY, (502, "upstream_quota_exceeded")),
        (of.ModelQuotaExceededError, 400, None, (502, "upstream_quota_exceeded")),
        (of.ModelNotFoundError, 400, MODEL, (502, "upstream_model_not_found")),
        (of.ModelContextWindowExceededError, 400, LONG, (400, "context_length_exceeded")),
        (of.ModelUnavailableError, 403, None, (502, "upstream_error")),
        (of.ModelServerError, 424, None, (502, "upstream_error")),
        (of.ModelRequestRejectedError, 403, None, (400, "vendor_code")),
        (of.ModelRequestRejectedError, 422, None, (400, "vendor_code")),
        (of.ModelRateLimitError, 429, None, (429, "rate_limit_exceeded")),
        (None, 418, None, (502, "upstream_error")),
    ],
)
def test_an_http_error(category: Any, status: int, body: Any, wanted: tuple[int, str]) -> None:
    error = of.ModelHTTPError.for_category(
        category, status_code=status, model_name="m", body=body, provider_error_code="vendor_code"
    )
    found = as_upstream_error(error)
    assert found is not None
    assert (found.status, found.code) == wanted


@pytest.mark.parametrize(
    ("category", "wanted"),
    [
        (of.ModelRateLimitError, (429, "rate_limit_exceeded", 7.0)),
        (of.ModelQuotaExceededError, (502, "upstream_quota_exceeded", None)),
        (of.ModelOverloadedError, (502, "upstream_error", 7.0)),
        (of.ModelContextWindowExceededError, (400, "context_length_exceeded", None)),
        (of.ModelAPIError, (502, "upstream_error", 7.0)),
    ],
)
def test_one_without_a_status(category: Any, wanted: tuple[int, str, float | None]) -> None:
    found = as_upstream_error(category("m", "words", retry_after=7.0))
    assert found is not None
    assert (found.status, found.code, found.retry_after) == wanted


def test_a_conversation_that_is_too_long_is_told_in_the_provider_s_words() -> None:
    error = of.ModelHTTPError.for_category(
        of.ModelContextWindowExceededError, status_code=400, model_name="m", body=LONG
    )
    assert str(as_upstream_error(error)) == LONG["error"]["message"]


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("connect", "The model provider could not be reached."),
        ("pool", "The model provider could not be reached."),
        ("read", "The connection to the model provider broke."),
        (None, "The connection to the model provider broke."),
    ],
)
def test_a_connection(phase: Any, words: str) -> None:
    assert (
        str(as_upstream_error(of.ModelConnectionError("m", "host.internal", phase=phase))) == words
    )


@pytest.mark.parametrize(
    "body",
    [
        '{"object": "error", "message": "no", "code": "1000"}',
        ' [{"error": {"message": "no"}}]',
        {"Error": {"Code": "ThrottlingException", "Message": "no"}, "ResponseMetadata": {}},
        {"Error": {"Code": "x", "Message": "no"}, "message": "shadowed"},
    ],
)
def test_where_sdks_leave_the_words(body: object) -> None:
    assert error_object(body)["message"] == "no"


@pytest.mark.parametrize("body", ["", "<html>", "{", "[" * 100_000, '"words"', "7"])
def test_a_text_that_is_no_object_says_nothing(body: str) -> None:
    assert error_object(body) == {}
