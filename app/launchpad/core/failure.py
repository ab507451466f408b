"""What an exception becomes: `NodeError` for callers, `RunFailed` for clients."""

from __future__ import annotations

from launchpad.errors import LaunchpadError, NodeError, RequestError, UpstreamError
from launchpad.events import RunFailed
from launchpad.models.upstream_errors import as_upstream_error


def blame(node: str, error: Exception) -> LaunchpadError:
    """The error to raise for what happened inside `node`, with `error` as its cause.

    Errors that already name their node, and a node's own `RequestError` (it speaks to the
    client), stay as they are.
    """
    if isinstance(error, NodeError | RequestError):
        return error
    upstream = error if isinstance(error, UpstreamError) else as_upstream_error(error)
    failure = NodeError(node, str(upstream or error) or type(error).__name__)
    failure.__cause__ = upstream or error
    if upstream is not None and upstream is not error:
        upstream.__cause__ = error
    return failure


def failed(error: BaseException) -> RunFailed:
    """What a client learns of `error`: never more than `public_message` lets out."""
    cause = error.__cause__
    if isinstance(error, NodeError) and isinstance(cause, UpstreamError):
        return RunFailed(
            f"{error.node}: {cause.public_message}",
            status=cause.status,
            type=cause.type,
            code=cause.code,
            retry_after=cause.retry_after,
        )
    if not isinstance(error, LaunchpadError):
        return RunFailed("The server could not complete this request.")
    return RunFailed(
        error.public_message,
        status=error.status,
        type=error.type,
        code=error.code,
        param=error.param,
        retry_after=error.retry_after,
    )
