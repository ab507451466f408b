"""The pure stages of a token's way, each alone: no socket, no task, no clock.

`profiling` times them; the regression guard in `tests/bench` counts their instructions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.completions import event, json_deltas
from launchpad.events import JsonDelta, RunEvent, RunStarted, TextDelta
from launchpad.models.openai_compatible.chunks import ChunkDecoder
from launchpad.models.openai_compatible.sse import EventSplitter
from launchpad.models.openai_compatible.whole_chunks import Item
from launchpad.stream.coalesce import coalesce
from launchpad.stream.mailbox import Mailbox
from launchpad.stream.partial_json.lexer import PartialJson
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = ["STAGES", "Stage"]

NODE = "TextNode"
WORDS = (" the", " sky", " is", " blue", ", because", " light", "\n", " “scatters”", '"', " and")


@dataclass(frozen=True)
class Stage:
    """A stage at work: `prepare(tokens)` gives the function that takes so many tokens through it.

    What belongs to a stream rather than to a token happens in `prepare`.
    """

    name: str
    title: str
    prepare: Callable[[int], Callable[[], object]]


def _text(number: int) -> str:
    return WORDS[number % len(WORDS)]


def _events(tokens: int) -> list[bytes]:
    deltas = [json.dumps({"content": _text(number)}) for number in range(tokens)]
    return [event(delta.encode()) for delta in deltas]


def _reader(batch: int) -> Callable[[int], Callable[[], object]]:
    def prepare(tokens: int) -> Callable[[], object]:
        splitter, decoder = EventSplitter(), ChunkDecoder()
        opening = event(b'{"role":"assistant","content":""}') + b"".join(_events(2))
        decoder.decode(splitter.feed(opening), [])
        reads = [b"".join(events) for events in _batches(_events(tokens), batch)]

        def run() -> object:
            items: list[Item] = []
            for data in reads:
                text = decoder.single(data) if splitter.between_events else None
                if text is None:
                    decoder.decode(splitter.feed(data), items)
                else:
                    items.append(text)
            return items

        return run

    return prepare


def _batches(values: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _deltas(tokens: int) -> list[RunEvent]:
    return [TextDelta(NODE, _text(number)) for number in range(tokens)]


def _coalescer(tokens: int) -> Callable[[], object]:
    batches = [_deltas(64) for _ in range(max(1, tokens // 64))]
    return lambda: [coalesce(batch) for batch in batches]


def _encoder(batch: int) -> Callable[[int], Callable[[], object]]:
    def prepare(tokens: int) -> Callable[[], object]:
        request = OpenAIChatSchema.model_validate(
            {"model": "text", "messages": [{"role": "user", "content": "Why?"}], "stream": True}
        )
        encoder = OpenAIChatEncoder(request, run_id="0" * 32, created=1_700_000_000)
        encoder.encode([RunStarted("0" * 32, "Text", request), TextDelta(NODE, "The")])
        events = _deltas(tokens)
        writes = [events[start : start + batch] for start in range(0, tokens, batch)]
        return lambda: [encoder.encode(write) for write in writes]

    return prepare


def _mailbox(tokens: int) -> Callable[[], object]:
    events = _deltas(tokens)
    mailbox = Mailbox(tokens)

    def run() -> object:
        for one in events:
            mailbox.offer(one)
        return mailbox.take()

    return run


def _fragments(tokens: int) -> list[str]:
    return json_deltas(tokens * 4)[:tokens]


def _lexer(*, snapshot_every: int) -> Callable[[int], Callable[[], object]]:
    def prepare(tokens: int) -> Callable[[], object]:
        fragments = _fragments(tokens)

        def run() -> object:
            reader = PartialJson()
            last = ""
            for number, fragment in enumerate(fragments):
                reader.feed(fragment)
                if snapshot_every and number % snapshot_every == 0:
                    last = reader.snapshot()
            return last

        return run

    return prepare


def _valid_json(tokens: int) -> Callable[[], object]:
    events = [JsonDelta(NODE, fragment) for fragment in _fragments(tokens)]
    request = OpenAIChatSchema.model_validate(
        {
            "model": "structured",
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "stream_options": {"valid_json_chunks": True},
        }
    )

    def run() -> object:
        encoder = OpenAIChatEncoder(request, run_id="0" * 32, created=1_700_000_000)
        encoder.encode([RunStarted("0" * 32, "Structured", request)])
        return [encoder.encode((one,)) for one in events]

    return run


STAGES: tuple[Stage, ...] = (
    Stage("read", "upstream's bytes to texts, one event a read", _reader(1)),
    Stage("read_64", "the same, 64 events a read", _reader(64)),
    Stage("mailbox", "through the mailbox", _mailbox),
    Stage("coalesce", "merge the deltas of a window, 64 in each", _coalescer),
    Stage("encode", "text deltas to OpenAI chunks, one a write", _encoder(1)),
    Stage("encode_64", "the same, 64 a write", _encoder(64)),
    Stage("lex", "partial JSON: read a fragment", _lexer(snapshot_every=0)),
    Stage("lex_snapshot", "the same, with a snapshot each", _lexer(snapshot_every=1)),
    Stage("valid_json", "fragments to `valid_json_chunks`, one a write", _valid_json),
)
