"""The protocol is proved by a dialect that nobody speaks: lines of plain text."""

from collections.abc import Sequence

from tests.wire.runs import node, run_of

from launchpad.events import RunEvent, RunFailed, TextDelta
from launchpad.wire.base import Encoder, Failure
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.order import Order
from launchpad.wire.tokens import TokenEncoder, TokenMetaEncoder


class LinesEncoder:
    media_type = "text/plain; charset=utf-8"

    def __init__(self) -> None:
        self._order = Order()

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        told = [told for event in events for told in self._order.push(event)]
        return b"".join(
            [f"{e.node}: {e.text}\n".encode() for e in told if isinstance(e, TextDelta)]
        )

    def failure(self, event: RunFailed) -> Failure | None:
        return Failure(event.status, {}, event.message.encode())


def encoded(encoder: Encoder, events: Sequence[RunEvent]) -> bytes:
    return encoder.encode(events)


def test_a_dialect_is_a_class_of_three_members():
    run = run_of(*node("A", TextDelta("A", "one")), *node("B", TextDelta("B", "two")))
    assert encoded(LinesEncoder(), run) == b"A: one\nB: \n\ntwo\n"


def test_the_shipped_dialects_are_encoders():
    whole = OpenAIChatEncoder(choices=2)
    for encoder in (whole, whole.choice(1), TokenEncoder(), TokenMetaEncoder(), LinesEncoder()):
        assert isinstance(encoder, Encoder)
        assert "charset=utf-8" in encoder.media_type
