"""`DirectBody`: a response's body, written without a message to the server for each part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware

from launchpad.server.cycle import Cycle

__all__ = ["DirectBody", "beneath_starlette"]


class DirectBody:
    """`launchpad.sse.connection.Direct` over uvicorn's request.

    Does what its `send` does with a part of a body that is not the last, and what its `receive`
    does about clients that leave.
    """

    __slots__ = ("_cycle", "_left")

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self._left: Callable[[], None] | None = None

    def on_left(self, act: Callable[[], None] | None) -> None:
        """See `Direct`."""
        self._left = act
        if act is not None:
            # A socket that is not read does not show its end.
            self._cycle.flow.resume_reading()
            if self._cycle.disconnected:
                self.left()

    def left(self) -> None:
        """The client is gone: tell who wants to know."""
        act, self._left = self._left, None
        if act is not None:
            act()

    def is_full(self) -> bool:
        """See `Direct`."""
        return self._cycle.flow.write_paused

    def join_head(self) -> None:
        """See `Direct`."""
        self._cycle.join_head()

    def has_room(self) -> bool:
        """See `Direct`."""
        cycle = self._cycle
        # False before the head, for a body with a length or up to the connection's end, and in
        # answer to HEAD.
        return cycle.writes_chunks and not cycle.flow.write_paused

    def write(self, data: bytes) -> bool:
        """See `Direct`."""
        cycle = self._cycle
        if cycle.disconnected or cycle.response_complete:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return not cycle.flow.write_paused


def beneath_starlette(send: Any) -> Any:
    """The `send` under those that Starlette's own layers wrap around it.

    Its error layers note that a response has begun, and its CORS adds headers to the beginning:
    none looks at a body. Anything else, whoever put it there and how, is returned as it is.
    """
    while (beneath := _wrapped_by_starlette(send)) is not None:
        send = beneath
    return send


def _wrapped_by_starlette(send: Any) -> Any:
    # By exact types: a proxy, as tracing agents put in, has the attributes of what it stands for.
    kind = cast("type[object]", type(send))
    if kind is FunctionType and send.__code__ in _LETS_PASS:
        held: Any = send.__closure__[send.__code__.co_freevars.index("send")]
        return held.cell_contents
    function: Any = send.func if kind is partial else None
    if type(function) is MethodType and function.__func__ is CORSMiddleware.send:
        return send.keywords.get("send")
    return None


def _functions_within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions_within(constant)


_LETS_PASS = frozenset(
    inner
    for outer, name in (
        (ServerErrorMiddleware.__call__, "_send"),
        (wrap_app_handling_exceptions, "sender"),
    )
    for inner in _functions_within(outer.__code__)
    if inner.co_name == name and "send" in inner.co_freevars
)
