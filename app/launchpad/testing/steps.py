"""The words of a script: what an upstream does for one request, step by step.

    content        Chunk  Repeat  Reasoning  Refusal  ToolDelta  Event  Answer
    the end        Finish  UsageStep  Done  NoFinish
    time           Delay  WaitFor  Hang  Head
    faults         Status  ErrorEvent  Die  Refuse  Raw  Garbage  HalfEvent  OtherHalf
                   HugeEvent  DuplicateToolIndices

A script that does not say how it ends is ended properly: what is missing of finish reason,
usage (where the request asked for it) and end mark is added. `Die`, `Refuse`, `Hang`, `Status`
and `NoFinish` end a script themselves, so nothing is added after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from launchpad.testing.gate import Gate

__all__ = [
    "Answer",
    "Chunk",
    "Delay",
    "Die",
    "Done",
    "DuplicateToolIndices",
    "ErrorEvent",
    "Event",
    "Finish",
    "Garbage",
    "HalfEvent",
    "Hang",
    "Head",
    "HugeEvent",
    "NoFinish",
    "OtherHalf",
    "Raw",
    "Reasoning",
    "Refusal",
    "Refuse",
    "Repeat",
    "Status",
    "Step",
    "ToolDelta",
    "UsageStep",
    "WaitFor",
]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One token of text, in an event of its own."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """`times` tokens of text, each in an event of its own, `pace` seconds apart.

    `{i}` in `text` is the token's number, from 0. `times` None: until the client leaves, so the
    answer must be streamed.
    """

    text: str
    times: int | None = None
    pace: float = 0.0
    choice: int = 0

    def token(self, number: int) -> str:
        """The text of one token."""
        return self.text.replace("{i}", str(number))


@dataclass(frozen=True, slots=True)
class Reasoning:
    """One token of visible reasoning (`reasoning_content`; Anthropic's `thinking`)."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """One token of a refusal."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """A piece of a tool call; `id` and `name` belong in the call's first piece only."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """The chunk with the finish reason, in OpenAI's terms."""

    reason: str = "stop"
    choice: int = 0


@dataclass(frozen=True, slots=True)
class UsageStep:
    """Token counts; on OpenAI's wire sent only if the request asked for them."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The end mark: `data: [DONE]`, or Anthropic's `message_stop`."""


@dataclass(frozen=True, slots=True)
class NoFinish:
    """Ends the body here, properly as HTTP goes, with nothing added."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the scripted model would say to this request, its tokens `pace` seconds apart."""

    pace: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Any JSON object as an event of its own."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error event in the midst of a stream. Not streamed: a 500 with that error."""

    message: str = "The scripted upstream failed."
    type: str = "server_error"
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """A pause, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WaitFor:
    """A pause until the test opens the gate."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Hang:
    """Never go on: the connection stays open and silent until the client leaves."""


@dataclass(frozen=True, slots=True)
class Head:
    """Send the response's head now; without this step it leaves with the first content."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this HTTP status instead of a stream; must come before any content.

    `body` None gives the dialect's error object with a fitting type. `Retry-After` and the like
    go into `headers`.
    """

    code: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Die:
    """Drop the connection: with a TCP reset, or (`reset=False`) a plain close, body unfinished."""

    reset: bool = True


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the listening socket, then this connection: the next one is refused."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are: within the response body, or (`framed=False`) straight on the socket."""

    data: bytes
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that are no event of any dialect: broken JSON, broken UTF-8, stray lines."""

    data: bytes = b'data: {"choices": [{"delta": \n\n\xff\xfe\x00 stray\ndata: {not json}\n\n'


@dataclass(frozen=True, slots=True)
class HalfEvent:
    """The first half of the bytes of a `Chunk(text)`; `OtherHalf` sends the rest."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class OtherHalf:
    """The rest of the last `HalfEvent`."""


@dataclass(frozen=True, slots=True)
class HugeEvent:
    """One event whose text has `size` characters."""

    size: int = 5 * 1024 * 1024
    letter: str = "x"


@dataclass(frozen=True, slots=True)
class DuplicateToolIndices:
    """Two different tool calls that both say they are number 0, one after the other."""

    first: str = "first_tool"
    second: str = "second_tool"


Step: TypeAlias = (
    Chunk
    | Repeat
    | Reasoning
    | Refusal
    | ToolDelta
    | Finish
    | UsageStep
    | Done
    | NoFinish
    | Answer
    | Event
    | ErrorEvent
    | Delay
    | WaitFor
    | Hang
    | Head
    | Status
    | Die
    | Refuse
    | Raw
    | Garbage
    | HalfEvent
    | OtherHalf
    | HugeEvent
    | DuplicateToolIndices
)
"""Anything that a script may hold."""
