import json
from typing import Any

import pytest

from launchpad.errors import (
    AuthenticationError,
    LaunchpadError,
    MissingConfigurationError,
    NodeError,
    OutputError,
    OutputTooLargeError,
    OverloadedError,
    RunCancelledError,
    UnknownModelError,
    UpstreamError,
)
from launchpad.events import RunFailed
from launchpad.sse.frame import MAX_LINE
from launchpad.stream.failure import failed
from launchpad.wire.openai_chat.errors import (
    error_body,
    error_headers,
    failure,
    http_error_body,
)


def body(raw: bytes) -> dict[str, Any]:
    assert list(json.loads(raw)) == ["error"]
    return json.loads(raw)["error"]


def test_the_object_has_openais_four_keys_in_order():
    error = body(error_body(RunFailed("m", 500, "server_error", "c", "p")))
    assert list(error.items()) == [
        ("message", "m"),
        ("type", "server_error"),
        ("param", "p"),
        ("code", "c"),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            UnknownModelError("no such model", param="model"),
            ("no such model", "invalid_request_error", "model", "model_not_found"),
        ),
        (
            UpstreamError("slow", status=504, code="upstream_timeout"),
            ("slow", "upstream_error", None, "upstream_timeout"),
        ),
        (NodeError("A", "secret"), ("The node A failed.", "server_error", None, "node_failed")),
    ],
)
def test_an_exception_shows_only_what_is_public(error: Any, expected: tuple[Any, ...]):
    assert tuple(body(error_body(error)).values()) == expected


def test_retry_after_is_in_whole_seconds():
    error = OverloadedError("busy", retry_after=0.2)
    event = RunFailed(str(error), error.status, error.type, error.code, None, error.retry_after)
    assert failure(event).headers["retry-after"] == "1"
    assert failure(event).headers["content-type"] == "application/json"
    assert "retry-after" not in failure(RunFailed("x")).headers


def test_only_our_own_401_asks_for_a_key():
    challenge = error_headers(AuthenticationError("no key"))["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert "www-authenticate" not in error_headers(UpstreamError("no", status=401))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OutputError("A", "no JSON."), False),
        (OutputTooLargeError(10), False),
        (MissingConfigurationError("no key"), False),
        (NodeError("A", "a bug, or a database that is away"), True),
        (RunCancelledError("shutting down"), True),
        (OverloadedError("busy", retry_after=1), True),
        (UpstreamError("down"), True),
        (UpstreamError("slow down", status=429, code="rate_limit_exceeded"), True),
    ],
)
def test_what_will_come_again_is_not_asked_again(error: LaunchpadError, again: bool):
    headers = failure(failed(error)).headers
    assert headers.get("x-should-retry") == (None if again else "false")
    assert error_headers(error).items() <= headers.items()


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, "authentication_error", "invalid_api_key"),
        (403, "permission_error", "forbidden"),
        (404, "invalid_request_error", "not_found"),
        (405, "invalid_request_error", "method_not_allowed"),
        (408, "invalid_request_error", "timeout"),
        (413, "invalid_request_error", "request_too_large"),
        (415, "invalid_request_error", "unsupported_media_type"),
        (418, "invalid_request_error", None),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", None),
        (599, "server_error", None),
    ],
)
def test_bare_statuses_have_a_body_too(status: int, kind: str, code: str | None):
    error = body(http_error_body(status))
    assert (error["type"], error["code"]) == (kind, code)
    assert error["message"].endswith(".")
    assert body(http_error_body(status, "Said."))["message"] == "Said."


def test_an_error_always_fits_on_a_line():
    raw = error_body(RunFailed("\u2028" * 100_000))
    assert len(raw) < MAX_LINE
    assert body(raw)["message"].endswith("…")


def test_lone_surrogates_do_not_break_an_error():
    assert body(error_body(RunFailed("a\ud83db")))["message"] == "a\ufffdb"
