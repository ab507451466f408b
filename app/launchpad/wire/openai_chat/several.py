"""Several runs on one wire: the choices of one answer (`n`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from launchpad.events import OfChoice, RunEvent, RunFailed
from launchpad.wire.base import Failure
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder

__all__ = ["SeveralChoicesBuilder", "SeveralChoicesEncoder"]

Operator = Callable[[Sequence[RunEvent]], Sequence[RunEvent]]


class SeveralChoicesEncoder:
    """An `Encoder` of `OfChoice` events over an `OpenAIChatEncoder(choices=n)`.

    `operators` gives each choice its own: what one keeps in mind is one run's.
    """

    def __init__(
        self, whole: OpenAIChatEncoder, choices: int, operators: Callable[[], Sequence[Operator]]
    ) -> None:
        self._whole = whole
        self._operators = [operators() for _ in range(choices)]

    @property
    def media_type(self) -> str:
        """Server-sent events."""
        return self._whole.media_type

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """See `Encoder.encode`."""
        frames: list[bytes] = []
        for choice, batch in _by_choice(events):
            if choice is None:
                frames.append(self._everybody_s(batch))
                continue
            said: Sequence[RunEvent] = batch
            for operator in self._operators[choice]:
                said = operator(said)
            frames.append(self._whole.encode(said, choice))
        return b"".join(frames)

    def _everybody_s(self, events: Sequence[RunEvent]) -> bytes:
        # A choice that has ended says no more, so the first that is open tells it.
        told = (self._whole.encode(events, choice) for choice in range(len(self._operators)))
        return next((frames for frames in told if frames), b"")

    def failure(self, event: RunFailed) -> Failure | None:
        """See `Encoder.failure`."""
        return self._whole.failure(event)


class SeveralChoicesBuilder:
    """A `Builder` of `OfChoice` events over a `ChatCompletionBuilder(choices=n)`."""

    def __init__(self, whole: ChatCompletionBuilder) -> None:
        self._whole = whole

    def add(self, events: Sequence[RunEvent]) -> None:
        """Take the next events."""
        for choice, batch in _by_choice(events):
            self._whole.add(batch, choice or 0)

    def body(self) -> bytes:
        """The JSON body, once every run has finished."""
        return self._whole.body()

    def failure(self, event: RunFailed) -> Failure:
        """The answer where a run failed."""
        return self._whole.failure(event)


def _by_choice(events: Sequence[RunEvent]) -> list[tuple[int | None, list[RunEvent]]]:
    """Neighbouring events of one choice together; None where an event is everybody's."""
    groups: list[tuple[int | None, list[RunEvent]]] = []
    for item in events:
        choice, event = (item.choice, item.event) if isinstance(item, OfChoice) else (None, item)
        if groups and groups[-1][0] == choice:
            groups[-1][1].append(event)
        else:
            groups.append((choice, [event]))
    return groups
