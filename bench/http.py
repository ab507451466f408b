"""One blocking request, for what is timed from outside an event loop."""

from __future__ import annotations

import socket

from bench.load import Call, LoadError

__all__ = ["ask"]


def ask(call: Call, seconds: float = 60.0) -> bytes:
    """The whole answer, read until its stream ends; raises LoadError unless its status is 200."""
    with socket.create_connection(("127.0.0.1", call.port), timeout=seconds) as connection:
        connection.sendall(call.raw)
        answer = b""
        while not answer.endswith(b"\n0\r\n\r\n"):
            data = connection.recv(65536)
            if not data:
                break
            answer += data
            if not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                raise LoadError(answer.decode(errors="replace"))
        return answer
