"""One upstream answer: its socket, its timeouts, its two readers.

`ChatStream` is what pydantic-ai holds in place of the SDK's stream, and what `LiveStream` reads
past it. There is one decoded log; each reader has its own place in it. pydantic-ai gets runs of
text as one chunk, so its cost does not grow with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from openai.types.chat import ChatCompletionChunk

from launchpad.errors import UpstreamError, UpstreamTimeoutError
from launchpad.models.http.pool import Response
from launchpad.models.openai_compatible.chunks import ChunkDecoder
from launchpad.models.openai_compatible.progress import answers, moves_on
from launchpad.models.openai_compatible.sdk_chunks import SdkChunks
from launchpad.models.openai_compatible.sse import EventSplitter, EventTooLargeError
from launchpad.models.openai_compatible.thinking_tags import ThinkingTags
from launchpad.models.openai_compatible.watchdog import Watchdog
from launchpad.models.openai_compatible.whole_chunks import (
    BrokenOffError,
    GarbageError,
    Item,
    UpstreamSaidError,
)
from launchpad.models.upstream_errors import cut, in_stream_error, unreadable


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model's stream is to be read, from its profile.

    `tags` open and close thinking inside text; `thinking_field` is the provider's name for
    reasoning beside OpenAI-compatible servers' usual two; with `hold_leading_space`, white space
    before the answer is dropped.
    """

    tags: tuple[str, str] | None = None
    thinking_field: str | None = None
    hold_leading_space: bool = False


AsSdkError = Callable[[UpstreamError], Exception]


class ChatStream:
    """An open answer: async iterator of chunks for pydantic-ai, `pull` for the live reader.

    Errors are `UpstreamError`s; the iterator raises what `as_sdk_error` makes of them, because
    pydantic-ai (its `FallbackModel`, its instrumentation) knows the SDK's. Closing is immediate
    and needs no await: the socket is gone when `close_now` returns.
    """

    def __init__(
        self,
        response: Response,
        reading: Reading,
        watchdog: Watchdog,
        as_sdk_error: AsSdkError,
    ) -> None:
        self._response = response
        self._splitter = EventSplitter()
        self.reading = reading
        self._decoder = ChunkDecoder()
        self._begin: ThinkingTags | None = None
        """Reads the answer's begin, and its thinking; None once the answer itself has begun."""
        if reading.tags or reading.hold_leading_space:
            self._begin = ThinkingTags(reading.tags, drops_space=reading.hold_leading_space)
        self._watchdog = watchdog
        self._as_sdk_error = as_sdk_error
        self._pending: list[Item] = []
        self._live: list[Item] = []
        self._chunks: SdkChunks | None = None
        self.counts_as_given = False
        """See `SdkChunks`; set before the first chunk is asked for."""
        self._has_follower = True
        self._answered = False
        self._ended = False
        self._closed = False
        self._error: UpstreamError | None = None

    # For LiveStream

    async def pull(self) -> list[Item]:
        """The items that came since the last call, at least one; empty at the end.

        Raises `UpstreamError` once everything before it has been returned.
        """
        while not self._live and not self._ended:
            if not self._advance():
                # In this frame: a coroutine between here and the socket costs each token.
                try:
                    await self._response.arrival()
                except BaseException:
                    self._watchdog.idle()
                    raise
        items, self._live = self._live, []
        if not items and self._error is not None:
            raise self._error
        return items

    def say_at_once(self, say: Callable[[str], bool]) -> None:
        """Give `say` each token that comes alone while `pull` waits, which then goes on waiting.

        Where it returns False, and for all else, `pull` returns as ever.
        """

        def said(data: bytes) -> bool:
            if self._begin is not None or not self._splitter.between_events:
                return False
            text = self._decoder.single(data)
            if text is None or not say(text):
                return False
            self._watchdog.progress_unseen()
            self._answered = True
            if self._has_follower:
                self._pending.append(text)
            return True

        self._response.on_piece(said)

    @property
    def closed(self) -> bool:
        """Whether its user is done with it."""
        return self._closed

    def live_only(self) -> None:
        """pydantic-ai will not look at the answer again: nothing more is kept for it."""
        self._has_follower = False
        self._pending.clear()

    def feed(self, data: bytes) -> None:
        """Take bytes that were read elsewhere, as if they had come from the socket."""
        self._decode(data)

    # For pydantic-ai, in place of `openai.AsyncStream`

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        while not self._pending:
            if self._ended:
                if self._error is not None:
                    raise self._as_sdk_error(self._error) from self._error
                raise StopAsyncIteration
            await self._read()
        if self._chunks is None:
            tags = self.reading.tags or ()
            self._chunks = SdkChunks(tags, counts_as_given=self.counts_as_given)
        return self._chunks.take(self._pending)

    async def follow(self) -> list[Item]:
        """All that waits for pydantic-ai; empty at the end, be it whole, failed or closed."""
        while not self._pending and not self._ended:
            await self._read()
        items, self._pending = self._pending, []
        return items

    def put_back(self, items: list[Item]) -> None:
        """Let pydantic-ai have `items`, which `follow` gave, after all."""
        self._pending[:0] = items

    @property
    def exhausted(self) -> bool:
        """Whether the answer ended without an error, and `follow` gave all of it."""
        return self._ended and self._error is None and not self._pending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_now()

    async def close(self) -> None:
        """The SDK's name for closing."""
        self.close_now()

    def close_now(self) -> None:
        """Give the connection back when the answer is complete; otherwise cut it."""
        if self._closed:
            return
        self._closed = True
        self._watchdog.stop()
        if self._ended and self._error is None:
            self._response.finish()
        else:
            self._ended = True
            self._response.close()

    # Reading

    async def _read(self) -> None:
        """Wait until the socket gave something, and decode it."""
        while not self._advance():
            try:
                await self._response.arrival()
            except BaseException:
                self._watchdog.idle()
                raise

    def _advance(self) -> bool:
        """Decode what has arrived; False where that is nothing, and one has to wait."""
        try:
            data = self._response.take()
        except OSError as error:
            self._watchdog.idle()
            self._end(error)
            return True
        if data is None:
            self._watchdog.waiting()
            return False
        self._decode(data)
        return True

    def _decode(self, data: bytes) -> None:
        text = self._decoder.single(data) if self._splitter.between_events else None
        if text is not None:
            # One more token, in a read of its own: the way of a paced stream.
            self._watchdog.progress()
            self._answered = True
            if self._begin is not None:
                self._add([text])
                return
            if self._has_follower:
                self._pending.append(text)
            self._live.append(text)
            return
        items: list[Item] = []
        fault: Exception | None = None
        try:
            block = self._splitter.feed(data) if data else self._last_event()
            if block:
                self._decoder.decode(block, items)
        except (GarbageError, EventTooLargeError, UpstreamSaidError, BrokenOffError) as error:
            fault = error
        if str in map(type, items):
            self._watchdog.progress()
            self._answered = True
        elif any(map(moves_on, items)):
            self._watchdog.progress()
            self._answered = self._answered or any(map(answers, items))
        else:
            self._watchdog.idle()
        self._add(items)
        if fault is not None:
            self._break_off(fault)
        elif self._decoder.done or not data:
            self._end(None)
        elif self._decoder.finished:
            self._may_end()

    def _break_off(self, fault: Exception) -> None:
        """End with an event that cannot be read, or that says that something went wrong."""
        if isinstance(fault, UpstreamSaidError):
            self._fail(in_stream_error(fault.error), fault)
        elif isinstance(fault, BrokenOffError):
            self._fail(cut(str(fault)), fault)
        elif self._decoder.finished:
            # The answer is whole; what follows it is none of it.
            self._end(fault)
        else:
            self._fail(unreadable(), fault)

    def _may_end(self) -> None:
        if self._decoder.ending:
            self._watchdog.finishing()
        else:
            self._watchdog.going_on()

    def _add(self, items: list[Item]) -> None:
        """Let both readers have `items`, as far as it is clear what they are."""
        begin = self._begin
        if begin is not None:
            items = begin.take(items)
            if begin.settled:
                self._begin = None
        if items:
            if self._has_follower:
                self._pending += items
            self._live += items

    def _add_held(self) -> None:
        """What was held back comes out: nothing follows it."""
        begin, self._begin = self._begin, None
        if begin is not None:
            self._add(begin.end())

    def _last_event(self) -> bytes:
        """`[DONE]` needs no blank line after it; any other unclosed event does not count."""
        rest = self._splitter.rest().strip()
        return b"data: [DONE]\n\n" if rest in {b"data: [DONE]", b"data:[DONE]"} else b""

    def _end(self, cause: Exception | None) -> None:
        """The body is over. It is complete with a finish reason, or with words and `[DONE]`."""
        if self._ended:
            return
        self._add_held()
        if self._watchdog.fired is not None:
            self._fail(UpstreamTimeoutError(self._watchdog.fired), cause)
        elif not (self._decoder.finished or (self._decoder.done and self._answered)):
            self._fail(cut(), cause)
        elif cause is not None or self._watchdog.lapsed:
            # The answer is whole, but its HTTP body is not: no other request may follow it.
            self._response.close()
        self._ended = True
        self._watchdog.stop()

    def _fail(self, error: UpstreamError, cause: Exception | None) -> None:
        if self._error is None:
            error.__cause__ = cause
            self._error = error
        self._add_held()
        self._ended = True
        self._watchdog.stop()
        self._response.close()
