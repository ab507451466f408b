"""What a wire dialect is to the scripted upstream: one object a request, steps to bytes."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from launchpad.testing.prompt import Prompt
from launchpad.testing.steps import ErrorEvent, Step

__all__ = ["ERROR_TYPES", "Dialect", "encode", "event_bytes"]

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
"""The error type by status; `server_error` (OpenAI) or `api_error` (Anthropic) otherwise."""


class Dialect(Protocol):
    """One request's dialect: reads the request when made, then turns steps into bytes."""

    prompt: Prompt
    stream: bool

    def event(self, step: Step) -> bytes:
        """The SSE bytes of a content step; b"" for a step that has none in this dialect."""
        ...

    def error_event(self, step: ErrorEvent) -> bytes:
        """The SSE bytes of an error in the midst of a stream."""
        ...

    def collect(self, step: Step) -> None:
        """Take a content step in for the answer that is not streamed."""
        ...

    def body(self) -> bytes:
        """The answer that is not streamed, of all that was collected."""
        ...


def encode(value: dict[str, Any]) -> bytes:
    """`value` as compact JSON."""
    return msgspec.json.encode(value)


def event_bytes(value: dict[str, Any], name: str | None = None) -> bytes:
    """`value` as one SSE event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + msgspec.json.encode(value) + b"\n\n"
