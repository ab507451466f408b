"""`Refusal`: an ordinary HTTP answer in place of a stream that failed before its first byte."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818 - it is an answer, and not everybody's error
    """Raised by a source of frames before its first bytes. `body` is JSON."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"refused with status {status}")
        self.status = status
        self.headers = headers
        self.body = body
