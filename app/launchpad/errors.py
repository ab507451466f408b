"""Every error that Launchpad raises, in one tree.

    LaunchpadError
    ├── DefinitionError            a workflow or node is declared wrongly (at import)
    ├── ConfigurationError         a setting, key, extra or target is missing or wrong (at start)
    │   └── MissingConfigurationError    503, a model's key, package or address; a client may see it
    ├── RequestError               the client's request cannot be served (4xx)
    │   ├── UnsupportedParameterError    400, names the parameter
    │   ├── AuthenticationError          401
    │   ├── ForbiddenError               403
    │   ├── UnknownModelError            404, lists the known models
    │   ├── PayloadTooLargeError         413
    │   └── OverloadedError              429 or 503, with Retry-After
    ├── NodeError                  a node failed; names the node
    │   └── OutputError                  its output was invalid, cut short or missing
    ├── UpstreamError              a model provider failed, with its status
    │   └── UpstreamTimeoutError         it was silent for too long
    ├── RunCancelledError          the run was ended from outside (shutdown, slow client)
    ├── RunTimeoutError            the run took longer than request_timeout (504)
    └── OutputTooLargeError        the answer grew beyond max_output_bytes

Each message tells a person what is wrong and what to do. `LaunchpadError.public_message` is what
a client may see; the cause stays in `__cause__` and goes to the log.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "DefinitionError",
    "ForbiddenError",
    "LaunchpadError",
    "MissingConfigurationError",
    "NodeError",
    "OutputError",
    "OutputTooLargeError",
    "OverloadedError",
    "PayloadTooLargeError",
    "RequestError",
    "RunCancelledError",
    "RunTimeoutError",
    "UnknownModelError",
    "UnsupportedParameterError",
    "UpstreamError",
    "UpstreamTimeoutError",
]


class LaunchpadError(Exception):
    """Base of the tree.

    `status`, `type` and `code` are what the error becomes on OpenAI's wire
    (https://platform.openai.com/docs/guides/error-codes).
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    safe_to_show: ClassVar[bool] = False

    @property
    def public_message(self) -> str:
        """The text that a client may see: the message itself where nothing internal is in it."""
        return str(self) if self.safe_to_show else "The server could not complete this request."


class DefinitionError(LaunchpadError):
    """A workflow or node is declared wrongly. Raised when the class is defined."""


class ConfigurationError(LaunchpadError):
    """A setting, key, optional package or serve target is missing or wrong."""


class MissingConfigurationError(ConfigurationError):
    """What a model needs is not there: its key, package or address.

    The message names packages and variables only, so that whoever calls learns what to set.
    """

    status = 503
    code = "not_configured"
    safe_to_show = True


class RequestError(LaunchpadError):
    """The client's request cannot be served as it stands. Args: message, param, code."""

    status = 400
    type = "invalid_request_error"
    safe_to_show = True

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or type(self).code


class UnsupportedParameterError(RequestError):
    """A parameter that would change the answer's form and cannot be honoured."""

    code = "unsupported_parameter"


class AuthenticationError(RequestError):
    """No API key, or one that is not known."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class ForbiddenError(RequestError):
    """A Host or Origin that this server does not answer to."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class UnknownModelError(RequestError):
    """No workflow goes by the requested model's name."""

    status = 404
    code = "model_not_found"


class PayloadTooLargeError(RequestError):
    """The body, or the number of messages, is over the limit."""

    status = 413
    code = "request_too_large"


class OverloadedError(RequestError):
    """Too many runs, or open files.

    `retry_after` is in seconds; `status` is 429 (this key) or 503 (everyone).
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, status: int = 429) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        if status != 429:
            self.type, self.code = "server_error", "overloaded"


class NodeError(LaunchpadError):
    """A node failed. `node` is its class name; the original exception is `__cause__`."""

    code = "node_failed"

    def __init__(self, node: str, message: str) -> None:
        super().__init__(f"{node}: {message}")
        self.node = node

    @property
    def public_message(self) -> str:
        """Names the node, not the cause."""
        return str(self) if self.safe_to_show else f"The node {self.node} failed."


class OutputError(NodeError):
    """A node's output was invalid, cut short or missing; the message holds no user data."""

    code = "invalid_output"
    safe_to_show = True


class UpstreamError(LaunchpadError):
    """A model provider failed. The message names no host, key or internal address.

    Args: message; status: what the client gets (502 by default); code; param: which one of the
    client's parameters it rejects; retry_after in seconds.
    """

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    safe_to_show = True
    detail: str | None = None
    """The provider's own words, where no key or address is in them: for the log, not the client."""
    provider: str | None = None
    """Which `ModelProvider` it is, where that is known: for the metrics."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.retry_after = retry_after
        if code is not None:
            self.code = code
        if type is not None:
            self.type = type


class UpstreamTimeoutError(UpstreamError):
    """A model provider was silent for longer than the first-token or stall timeout allows."""

    code = "upstream_timeout"

    def __init__(self, message: str) -> None:
        super().__init__(message, status=504)
        self.code = "upstream_timeout"


class RunCancelledError(LaunchpadError):
    """The run was ended from outside: the server shuts down, or the client did not read."""

    status = 503
    code = "run_cancelled"
    safe_to_show = True


class RunTimeoutError(LaunchpadError):
    """The run took longer than `request_timeout`."""

    status = 504
    code = "run_timeout"
    safe_to_show = True


class OutputTooLargeError(LaunchpadError):
    """The answer grew beyond `limit` bytes (`max_output_bytes`), so its run was ended."""

    code = "output_too_large"
    safe_to_show = True

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The answer grew beyond {limit:,} bytes, which is this server's limit "
            "(LAUNCHPAD_MAX_OUTPUT_BYTES), and was ended."
        )
