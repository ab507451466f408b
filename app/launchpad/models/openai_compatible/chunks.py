"""Chat completion chunks: event data in, texts and whole chunks out. Sync, pure.

A chunk that only carries text of the first choice comes out as that text; everything else comes
out as the decoded object, so that nothing is lost. Three ways lead there, each a fallback of the
one before and with the same result:

1. The bytes around the text are the same as in an earlier chunk: only the text is decoded, for a
   whole run of such events at once.
2. The chunk has the plain shape: a typed decode.
3. Anything else: a full decode (`whole_chunks`).
"""

from __future__ import annotations

import re

import msgspec

from launchpad.models.openai_compatible.plain_chunk import decode_plain
from launchpad.models.openai_compatible.sse import data_of
from launchpad.models.openai_compatible.whole_chunks import Item, WholeChunks

DONE = b"[DONE]"
_CONTENT = re.compile(rb'"content":\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_LEARNING_TRIES = 16

_texts = msgspec.json.Decoder(list[str])
_text = msgspec.json.Decoder(str)


class ChunkDecoder(WholeChunks):
    """Decodes blocks of events; keeps what one stream has shown of its pattern.

    `done`: `[DONE]` came, and what follows it is ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done = False
        self._before = b""
        self._after = b""
        self._between = b""
        self._closing = b""
        self._tries = _LEARNING_TRIES
        self._heard = False

    def decode(self, block: bytes, into: list[Item]) -> None:
        """Append the items of a block of whole events to `into`.

        Raises `GarbageError`, `UpstreamSaidError` or `BrokenOffError`; what came before it is in
        `into` by then.
        """
        text = self.single(block)
        if text is not None:
            into.append(text)
            return
        events = block.split(b"\n\n")
        events.pop()
        start = 0
        runs = True
        while start < len(events) and not self.done:
            before = self._before
            if runs and before and events[start].startswith(before):
                end = self._decode_run(events, start, into)
                if end > start:
                    start = end
                    continue
                # Looking for a run costs the rest of the block: not again for each of its events.
                runs = False
            self._decode_event(events[start], into)
            start += 1
            runs = runs or self._before is not before

    def single(self, block: bytes) -> str | None:
        """The text of a block that is one event of the known pattern: most are, from a real model.

        None for any other, which is for `decode`.
        """
        before, closing = self._before, self._closing
        if not before or not (block.startswith(before) and block.endswith(closing)):
            return None
        literal = block[len(before) : -len(closing)]
        if b"\n" in literal or b"\r" in literal:
            return None
        try:
            text = _text.decode(literal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return text if text and not self.done else None

    def _decode_run(self, events: list[bytes], start: int, into: list[Item]) -> int:
        """Decode events from `start` on that have the known pattern; return where they end."""
        before, after = self._before, self._after
        end = len(events)
        while end > start and not (
            events[end - 1].endswith(after) and events[end - 1].startswith(before)
        ):
            end -= 1
        if end == start:
            return end
        run = events[start:end]
        head, tail = len(before), -len(after)
        literals = [event[head:tail] for event in run]
        # All have the pattern if putting it around the texts again gives the same bytes.
        whole = b"".join((before, self._between.join(literals), after))
        texts = _decode_texts(literals) if whole == b"\n\n".join(run) else None
        if texts is not None and all(texts):
            into.extend(texts)
        else:
            for event in run:
                self._decode_event(event, into)
        return end

    def _decode_event(self, event: bytes, into: list[Item]) -> None:
        plain = event.startswith(b"data: {") and b"\n" not in event
        data = event[6:] if plain else data_of(event)
        if not data:
            # A comment, or data that is empty, which makes no event.
            return
        if data.startswith(DONE):
            self.done = True
        elif not self.done:
            self._decode_one(data, into)

    def _decode_one(self, data: bytes, into: list[Item]) -> None:
        if self._head is None:
            # The first chunk, and any that names another model, is seen whole by pydantic-ai.
            first = self.decode_whole(data, into)
            self._head = (first.get("id"), first.get("model"), first.get("service_tier"))
            return
        if b'"content"' not in data:
            self.decode_whole(data, into)
            return
        try:
            chunk = decode_plain(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.decode_whole(data, into)
            return
        choice = chunk.choices[0]
        text = choice.delta.content
        head = (chunk.id, chunk.model, chunk.service_tier)
        if head != self._head or choice.index != 0:
            self._head = head
            self.decode_whole(data, into)
        elif text:
            into.append(text)
        if choice.index == 0 and text:
            if self._heard:
                self._learn(data, text)
            # An answer of one token would learn for nothing.
            self._heard = True

    def _learn(self, data: bytes, text: str) -> None:
        if self._tries == 0:
            return
        if self._before and data.startswith(self._before[6:]) and data.endswith(self._after):
            return
        # A stream whose chunks differ around the text (a random padding field) is not worth it.
        self._tries -= 1
        found = _CONTENT.search(data)
        if found is None or data.count(b'"content"') != 1 or b"\n" in data:
            return
        if _text.decode(found[1]) != text:
            return
        self._before = b"data: " + data[: found.start(1)]
        self._after = data[found.end(1) :]
        self._closing = self._after + b"\n\n"
        self._between = self._closing + self._before


def _decode_texts(literals: list[bytes]) -> list[str] | None:
    """JSON string literals to texts; None unless each one is exactly one string."""
    try:
        texts = _texts.decode(b"[" + b",".join(literals) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return texts if len(texts) == len(literals) else None
