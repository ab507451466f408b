"""The body of an answer that came packed (gzip, deflate), a slice at a time."""

from __future__ import annotations

import asyncio
import zlib

from launchpad.models.http.connection import BrokenConnectionError, Connection

SLICE = 64 * 1024
"""Bytes that are unpacked at once: a megabyte may hold a gigabyte."""


class Unpacked:
    """Reads a connection as its own `take` and `arrival` do.

    More than a slice is given in as many turns of the loop, so that others have theirs, and the
    socket is read on once it is all taken. What follows the packed body is skipped.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._more = False
        """There may be another slice in what has been taken from the connection."""
        self._rested = False

    def take(self) -> bytes | None:
        """See `Response.take`."""
        while True:
            data = b""
            if self._more:
                if self._connection.cut:
                    raise BrokenConnectionError("the connection was closed on this side")
                if not self._rested:
                    return None
                data = self._unpack.unconsumed_tail
            elif not (taken := self._connection.take()):
                return taken
            elif self._unpack.eof:
                continue
            else:
                data = taken
            if plain := self._next(data):
                return plain

    def arrival(self) -> asyncio.Future[None]:
        """See `Connection.arrival`."""
        if not self._more:
            return self._connection.arrival()
        self._rested = True
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        loop.call_soon(_wake, turn)
        return turn

    def _next(self, data: bytes) -> bytes:
        try:
            plain = self._unpack.decompress(data, SLICE)
        except zlib.error as error:
            raise BrokenConnectionError("the upstream's packing is broken") from error
        # A full slice may have left some within the decompressor, even with nothing behind it.
        self._more = len(plain) == SLICE and not self._unpack.eof
        self._rested = False
        return plain


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
