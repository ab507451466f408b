"""What an exception becomes for a client: the event `RunFailed`."""

from __future__ import annotations

from launchpad.errors import LaunchpadError, MissingConfigurationError, NodeError, UpstreamError
from launchpad.events import RunFailed


def forget(error: BaseException) -> None:
    """Take the tracebacks off `error` and its causes, once it was told and logged.

    Their frames hold what the run had, and often the error itself: a circle that would keep all of
    it in memory until the garbage collector comes by.
    """
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]


def failed(error: BaseException) -> RunFailed:
    """What a client learns of `error`: never more than `public_message` lets out."""
    cause = error.__cause__
    if isinstance(error, NodeError) and isinstance(
        cause, UpstreamError | MissingConfigurationError
    ):
        return RunFailed(
            f"{error.node}: {cause.public_message}",
            status=cause.status,
            type=cause.type,
            code=cause.code,
            param=cause.param,
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
