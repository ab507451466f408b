"""What an exception inside a node becomes: an error that names the node."""

from __future__ import annotations

from launchpad.errors import LaunchpadError, NodeError, RequestError, UpstreamError
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
