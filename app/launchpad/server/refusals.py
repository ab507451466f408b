"""What a request is told that is no HTTP, or none that this server takes: whole answers.

They are in the form of all errors, and have no `Date` yet.
"""

from __future__ import annotations

__all__ = ["NO_HOST", "TOO_LARGE", "UNKNOWN_CODING", "UNREADABLE"]


def _answer(status: bytes, code: bytes, message: bytes) -> bytes:
    body = b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":"%b"}}' % (
        message,
        code,
    )
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (status, len(body), body)
    )


TOO_LARGE = _answer(
    b"431 Request Header Fields Too Large",
    b"headers_too_large",
    b"The request's headers are larger than 64 KiB.",
)
UNREADABLE = _answer(
    b"400 Bad Request",
    b"invalid_http",
    b"This cannot be read as an HTTP request. Check its first line, its headers and its length.",
)
NO_HOST = _answer(
    b"400 Bad Request",
    b"invalid_host",
    b"An HTTP/1.1 request has one Host header, with a host's name in it.",
)
UNKNOWN_CODING = _answer(
    b"501 Not Implemented",
    b"unsupported_transfer_coding",
    b"This server knows no transfer coding but chunked. Send the body without any other.",
)
