"""What our own server lends to a response: a hand on the client's connection.

ASGI has `send` and `receive`, and a server under them that knows more. Under any other server the
extension is missing, and a response does with `send` and `receive` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypedDict

from starlette.types import Receive, Scope, Send

__all__ = ["CONNECTION_EXTENSION", "Connection", "Direct", "connection_of"]

CONNECTION_EXTENSION = "launchpad.connection"
"""The ASGI extension by which our own server hands out the client's `Connection`."""


class Direct(Protocol):
    """One response's way past `send` and `receive`, which cost turns of tasks."""

    def on_left(self, act: Callable[[], None] | None) -> None:
        """Call `act` once the client is gone; at once where it is gone already. None: no more."""

    def is_full(self) -> bool:
        """Whether a `send` would wait now, because the client takes nothing."""
        ...

    def join_head(self) -> None:
        """The head comes next, and at once after it a part of the body: one write will do."""

    def has_room(self) -> bool:
        """Whether `write` may be used now: after the head, while the client takes what it gets."""
        ...

    def write(self, data: bytes) -> bool:
        """Write a part of the body, but not its end. False: no more, go on with `send`."""
        ...


class Connection(TypedDict):
    """The client's connection."""

    unsent: Callable[[], int]
    """The bytes that the client has not taken yet."""
    abort: Callable[[], None]
    """Reset it."""
    direct: Callable[[Send, Receive], Direct | None]
    """The way past the given `send` and `receive`. None unless they are the server's own, or
    wrapped by nothing but what is known to let a body's parts pass as they are."""


def connection_of(scope: Scope) -> Connection | None:
    """The connection, where the server lends it."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return extensions.get(CONNECTION_EXTENSION)
