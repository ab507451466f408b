"""One blocking request, for what is timed from outside an event loop."""

from __future__ import annotations

import socket

from bench.load import Call, LoadError

__all__ = ["ask", "get"]

_LAST_CHUNK = b"\n0\r\n\r\n"


def get(port: int, path: str) -> bytes:
    """The whole answer to a GET on loopback."""
    return ask(Call(port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()))


def ask(call: Call, seconds: float = 60.0) -> bytes:
    """The whole answer, head included; raises LoadError unless its status is 200."""
    with socket.create_connection(("127.0.0.1", call.port), timeout=seconds) as connection:
        connection.sendall(call.raw)
        answer = b""
        while not _complete(answer):
            data = connection.recv(65536)
            if not data:
                raise LoadError(f"The connection closed after {answer!r}")
            answer += data
        if not answer.startswith(b"HTTP/1.1 200"):
            raise LoadError(answer.decode(errors="replace"))
        return answer


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    _, named, length = head.lower().partition(b"content-length:")
    if named:
        return bool(end) and len(body) >= int(length.split()[0])
    return answer.endswith(_LAST_CHUNK)
