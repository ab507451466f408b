"""What our own server lends to a response: a hand on the client's connection.

ASGI has `send` and `receive`, and a server under them that knows more. Under any other server the
extension is missing, and a response does with `send` and `receive` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypedDict

from starlette.types import Scope, Send

__all__ = ["Connection", "Direct", "connection_of", "direct_of", "offer_direct", "withdraw_direct"]

CONNECTION_EXTENSION = "launchpad.connection"
"""The ASGI extension by which our own server hands out the client's `Connection`."""

_SEND = "launchpad.send"


class Direct(Protocol):
    """One response's way past `send` and `receive`, which cost a token and a request a task's turn.

    Only for what `send` would do itself: see `Connection.direct`.
    """

    def on_left(self, act: Callable[[], None] | None) -> None:
        """Call `act` once the client is gone; at once where it is gone already. None: no more."""

    def begin_body(self) -> bool:
        """Whether the head was sent through `send`, and parts of a body may follow by `write`."""
        ...

    def write(self, data: bytes) -> bool:
        """Write a part of the body, but not its end. False: wait for room, by the next `send`."""
        ...


class Connection(TypedDict):
    """The client's connection."""

    unsent: Callable[[], int]
    """The bytes that the client has not taken yet."""
    abort: Callable[[], None]
    """Reset it."""
    direct: Callable[[Send], Direct | None]
    """The way past the given `send`; None unless that is the server's own, unwrapped: a
    middleware that wraps it has to see every message."""


def connection_of(scope: Scope) -> Connection | None:
    """The connection, where the server lends it."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(CONNECTION_EXTENSION)


def offer_direct(scope: Scope, send: Send) -> None:
    """Let the response to come go past `send`: nothing that wraps it wants to see a body."""
    scope[_SEND] = send


def withdraw_direct(scope: Scope) -> None:
    """Take the offer back: others come between."""
    scope.pop(_SEND, None)


def direct_of(scope: Scope, send: Send) -> Direct | None:
    """The response's way past what `offer_direct` named, or past `send` itself."""
    connection = connection_of(scope)
    return None if connection is None else connection["direct"](scope.get(_SEND, send))
