"""What an exception inside a node becomes: an error that names the node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from starlette.exceptions import HTTPException

from launchpad.errors import (
    LaunchpadError,
    NodeError,
    OutputError,
    OverloadedError,
    RequestError,
    UpstreamError,
    UpstreamTimeoutError,
)
from launchpad.models.agents.output_errors import output_fault
from launchpad.models.causes import cause_of
from launchpad.models.resolve import resolve
from launchpad.models.scope import spent_here
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.observe.logs import redact

if TYPE_CHECKING:
    from launchpad.core.nodes.agent import AgentHolder

Failure = TypeVar("Failure", bound=LaunchpadError)

UNEXPECTED = (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError)
"""What `blame` takes: also what a node may raise that would end more than its run.

asyncio ends the whole loop for a `SystemExit` or a `KeyboardInterrupt`, and a task group takes a
`CancelledError` of one of its tasks for no failure at all. Which of them end the run from outside
is `launchpad.stream.ending`'s to say.
"""


_MODELS_FAILURES = (UpstreamError, OverloadedError)
"""What may have a cause that the log is to name."""


def blame(node: str, error: BaseException) -> LaunchpadError:
    """The error to raise for what happened inside `node`, with `error` as its cause.

    Errors that already name their node, and a node's own `RequestError` (it speaks to the
    client), stay as they are. So does what an `HTTPException` says, FastAPI's or Starlette's: its
    status, its detail, its `Retry-After`.
    """
    error = _alone(error)
    if (ending := _ending(error)) is not None:
        return _caused(NodeError(node, ending), error)
    if isinstance(error, NodeError | RequestError):
        return error
    if isinstance(error, HTTPException) and 400 <= error.status_code < 600:
        return _caused(_refusal(error), error)
    upstream = error if isinstance(error, UpstreamError) else as_upstream_error(error)
    if upstream is None and (fault := output_fault(error)) is not None:
        return _caused(OutputError(node, fault), error)
    failure = NodeError(node, str(upstream or error) or type(error).__name__)
    _caused(failure, upstream or error)
    if upstream is not None and upstream is not error and upstream.__cause__ is None:
        upstream.__cause__ = error
    return failure


def _alone(error: BaseException) -> BaseException:
    """What a task group raised on behalf of one of its tasks: the one that it fell for."""
    members = _members(error)
    return _alone(members[0]) if len(members) == 1 else error


def _members(error: object) -> Sequence[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def _ending(error: BaseException) -> str | None:
    """What a node did to raise what would end more than its run; None for any other error."""
    if isinstance(error, SystemExit):
        return "called sys.exit(), which ends the run alone."
    if isinstance(error, KeyboardInterrupt):
        return "raised KeyboardInterrupt, which ends the run alone: no Ctrl-C came."
    if not isinstance(error, asyncio.CancelledError):
        return None
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return "cancelled the task that runs it."
    return "awaited something that others had cancelled."


def say_whose(failure: LaunchpadError, node: object) -> None:
    """Note on a model's failure inside `node` which provider's it is, where that can be told."""
    cause = failure.__cause__
    if not isinstance(cause, UpstreamError) or cause.provider is not None:
        return
    spent = spent_here.get()
    if spent is not None and spent.provider is not None:
        cause.provider = spent.provider
        return
    # The failure is told whatever a user's own method does now.
    with suppress(Exception):
        provider = resolve(cast("AgentHolder", node).get_agent_config()).model_provider
        cause.provider = provider.value if provider is not None else None


def described(error: BaseException) -> str:
    """A failure in words for the log: also those that a client does not see.

    They are the provider's own, or, where it was not reached or not understood, why.
    """
    cause = error.__cause__ if isinstance(error, NodeError) else error
    words = str(error)
    if isinstance(cause, UpstreamTimeoutError) or not isinstance(cause, _MODELS_FAILURES):
        return words
    detail = cause.detail if isinstance(cause, UpstreamError) else None
    if detail is not None:
        return words if detail in words else f"{words} It said: {detail}"
    why = cause_of(cause.__cause__) if cause.__cause__ is not None else None
    return words if why is None else f"{words} Cause: {redact(why)}"


def words_of(error: HTTPException) -> str:
    """The exception's detail, which FastAPI lets be anything, as text."""
    detail: object = error.detail
    return detail if isinstance(detail, str) else json.dumps(detail, default=str)


def _refusal(error: HTTPException) -> RequestError:
    refusal = RequestError(words_of(error))
    refusal.status = error.status_code
    if error.status_code >= 500:
        refusal.type = LaunchpadError.type
    named = {name.lower(): value for name, value in (error.headers or {}).items()}
    with suppress(KeyError, ValueError):
        refusal.retry_after = float(named["retry-after"])
    return refusal


def _caused(failure: Failure, cause: BaseException) -> Failure:
    failure.__cause__ = cause
    return failure
