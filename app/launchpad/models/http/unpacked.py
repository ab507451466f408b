"""The body of an answer that came packed (gzip, deflate), a slice at a time."""

from __future__ import annotations

import asyncio
import zlib

from launchpad.models.http.connection import BrokenConnectionError, Connection

SLICE = 64 * 1024
"""Bytes that are unpacked at once: a megabyte may hold a gigabyte."""


_MEMBER = b"\x1f\x8b"


class Unpacked:
    """Reads a connection as its own `take` and `arrival` do.

    More than a slice is given in as many turns of the loop, so that others have theirs, and the
    socket is read on once it is all taken. gzip's members are one body (RFC 1952, 2.2); what else
    follows the packed body is skipped.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begin = b""
        """Of what may be the next member."""
        self._over = False
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
                data = self._unpack.unused_data or self._unpack.unconsumed_tail
            elif not (taken := self._connection.take()):
                return taken
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
        if self._unpack.eof:
            data = self._next_member(data)
            if not data:
                self._more = self._rested = False
                return b""
        try:
            plain = self._unpack.decompress(data, SLICE)
        except zlib.error as error:
            raise BrokenConnectionError("the upstream's packing is broken") from error
        # A full slice may have left some within the decompressor, even with nothing behind it.
        unpack = self._unpack
        self._more = bool(unpack.unused_data) if unpack.eof else len(plain) == SLICE
        self._rested = False
        return plain

    def _next_member(self, data: bytes) -> bytes:
        """What there is of the next member, at least its first bytes; b"" where there is none."""
        begin = self._begin + data
        self._begin = begin if begin == _MEMBER[:1] else b""
        if self._begin or self._over:
            return b""
        self._over = not begin.startswith(_MEMBER)
        if self._over:
            return b""
        self._unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        return begin


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
