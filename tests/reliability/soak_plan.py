"""What a soak's clients and its upstream do: one plan a visit, told in the user's message."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from launchpad.testing.prompt import Prompt
from launchpad.testing.steps import (
    Chunk,
    Die,
    Done,
    ErrorEvent,
    Garbage,
    HalfEvent,
    Hang,
    NoFinish,
    Repeat,
    Status,
    Step,
)

FAULTS: dict[str, Sequence[Step]] = {
    "none": (),
    "reset": (Die(),),
    "close": (Die(reset=False),),
    "stall": (Hang(),),
    "no finish": (NoFinish(),),
    "garbage": (Garbage(), Done()),
    "half an event": (HalfEvent("lost"), Die(reset=False)),
    "error event": (ErrorEvent("no"),),
    "500": (Status(500),),
    "429": (Status(429, {"Retry-After": "1"}),),
}
WEIGHTS = (60, 4, 4, 2, 4, 4, 4, 4, 4, 4)


@dataclass(frozen=True)
class Visit:
    """One client's plan: what the upstream will do to it, and what it will do itself."""

    number: int
    model: str
    stream: bool
    fault: str
    tokens: int
    pace: float
    leaves_after: int | None
    reads: str

    @classmethod
    def random(cls, dice: random.Random, number: int) -> Visit:
        tokens = dice.randrange(1, 120)
        reads = dice.choices(["at once", "slowly", "never"], [90, 7, 3])[0]
        return cls(
            number=number,
            model=dice.choice(["talk", "direct", "retry"]),
            stream=reads == "never" or dice.random() < 0.85,
            fault="none" if reads != "at once" else dice.choices(list(FAULTS), WEIGHTS)[0],
            tokens=tokens,
            pace=dice.choice([0.0, 0.005, 0.02]),
            leaves_after=dice.randrange(tokens + 1) if dice.random() < 0.25 else None,
            reads=reads,
        )

    def steps(self) -> list[Step]:
        """What the upstream does; told by the user's message."""
        if self.reads == "never":
            return [Repeat("t{i} " + "x" * 2000)]
        fault = FAULTS[self.fault]
        if fault and isinstance(fault[0], Status):
            return list(fault)
        return [Repeat("t{i} ", self.tokens, self.pace), *fault]

    @property
    def words(self) -> str:
        return json.dumps(self.__dict__)


def reply(prompt: Prompt) -> Sequence[Step]:
    text = prompt.user_text
    return Visit(**json.loads(text)).steps() if text.startswith("{") else [Chunk("hello")]
