"""The vocabulary of a run: what a workflow says while it runs.

Every part of Launchpad speaks in these events: nodes yield them, operators in
`launchpad.stream` change them, encoders in `launchpad.wire` turn them into a dialect.
They are frozen, typed and serialisable (`msgspec`), and have no behaviour.

A run is always `RunStarted`, then for each node `NodeStarted`, its deltas and
`NodeFinished`, then exactly one of `RunFinished` and `RunFailed`. Nodes that run at the same
time interleave; each event names its node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why the words ended, in OpenAI's terms."""


class RunEvent(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag=True):
    """Base of every event. Serialises with `msgspec`; the field `kind` holds the class name."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts as the upstream reported them; never estimated."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Sum two counts field by field."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


def total_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """The sum; None where there is nothing to sum, or where one is unknown."""
    total: Usage | None = None
    for usage in usages:
        if usage is None:
            return None
        total = usage if total is None else total + usage
    return total


class RunStarted(RunEvent, frozen=True, gc=True):
    """The run's first event, with the request after validation (an instance of `event_schema`)."""

    run_id: str
    workflow: str
    request: Any


class NodeStarted(RunEvent, frozen=True, gc=False):
    """A node is about to run. `parent` is the node that runs it beside others, where one does.

    Nodes of one parent start in the order in which they are declared, and are shown in it.
    """

    node: str
    parent: str | None = None


class TextDelta(RunEvent, frozen=True, gc=False):
    """New text of a node: only what was added, never what was already sent."""

    node: str
    text: str


class ReasoningDelta(RunEvent, frozen=True, gc=False):
    """New text of the model's visible reasoning."""

    node: str
    text: str


class RefusalDelta(RunEvent, frozen=True, gc=False):
    """New text of a refusal (OpenAI's `refusal` field)."""

    node: str
    text: str


class JsonDelta(RunEvent, frozen=True, gc=False):
    """A fragment of JSON text; a node's fragments concatenate to its document."""

    node: str
    text: str


class JsonSnapshot(RunEvent, frozen=True, gc=False):
    """The whole document so far, as valid JSON text on its own."""

    node: str
    text: str


class ToolCallDelta(RunEvent, frozen=True, gc=False):
    """A piece of a tool call that the client is to execute.

    `index` is stable and unique within the node; `id` and `name` come once, in the call's first
    delta; `arguments` are fragments of JSON text that concatenate. `extra_content` is what a
    provider wants back with the call, unchanged (Google's thought signature, for instance).
    """

    node: str
    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    extra_content: dict[str, Any] | None = None


class NodeFinished(RunEvent, frozen=True, gc=False):
    """A node is done, its output saved. `finish_reason` is None for a node that did not speak."""

    node: str
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


class RunFinished(RunEvent, frozen=True, gc=False):
    """The run's last event. `usage` is the sum over nodes, or None where an upstream gave none."""

    finish_reason: FinishReason = "stop"
    usage: Usage | None = None


class RunFailed(RunEvent, frozen=True, gc=False):
    """The run's last event where it failed. Every field is safe to show to a client.

    `status` is the HTTP status it deserves before the head has gone, `retry_after` is in seconds;
    `type`, `code` and `param` are OpenAI's.
    """

    message: str
    status: int = 500
    type: str = "server_error"
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


class OfChoice(RunEvent, frozen=True, gc=False):
    """An event of one of several runs that answer the same request (OpenAI's `n`)."""

    choice: int
    event: RunEvent


Delta = TextDelta | ReasoningDelta | RefusalDelta | JsonDelta | JsonSnapshot | ToolCallDelta
"""What a node may yield."""
