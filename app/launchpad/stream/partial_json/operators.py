"""The operator behind `valid_json_chunks`: JSON fragments become whole JSON documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from launchpad.errors import OutputError
from launchpad.events import (
    FinishReason,
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    TextDelta,
    ToolCallDelta,
)
from launchpad.stream.partial_json.speaker import Speaker

__all__ = ["CUT", "MAX_HELD", "JsonSnapshots"]

MAX_HELD: Final = 16 * 1024 * 1024

CUT: Final[frozenset[FinishReason]] = frozenset({"length", "content_filter"})
"""Reasons for which an answer ends before it is one; its finish tells the client."""


class JsonSnapshots:
    """Events in, events out, one batch at a time; one instance a run (or choice).

    - A node's `JsonDelta`s become `JsonSnapshot`s: at most one a batch and document, none where
      nothing changed; a document's last one always comes, at the latest before its `NodeFinished`.
      Between, `SnapshotPacer` may hold one back until the document has grown.
    - Nodes that run at the same time go one after another: those with a parent in the order of
      their `NodeStarted`, silent ones included and before their parent, as `wire.order` has it; any
      other when its JSON comes. The first is live; the others, their `NodeFinished` too, wait until
      it has finished. Above `max_held` characters of waiting text the run fails.
    - Words are left out: `TextDelta`, `ReasoningDelta`, `RefusalDelta`. Everything else passes.
    - A run that ends without any JSON (without a tool call for the client, and not cut by length or
      a content filter), with invalid JSON, or with a document that is not complete though the model
      stopped by itself, ends in `RunFailed`.

    A snapshot is a JSON object, unless the node's document is an array (shown likewise) or a bare
    string, number or literal (shown once, when the node has finished). A node may yield
    `JsonSnapshot`s itself; they are checked and paced as well.
    """

    __slots__ = (
        "_called",
        "_failed",
        "_fault",
        "_live",
        "_max_held",
        "_refused",
        "_said",
        "_turns",
    )

    def __init__(self, *, max_held: int = MAX_HELD) -> None:
        self._max_held = max_held
        # In the order in which they are told; the first is live.
        self._turns: dict[str, Speaker] = {}
        self._live: Speaker | None = None
        self._fault: str | None = None
        self._said = False
        self._called = False
        self._refused = False
        self._failed = False

    def __call__(self, events: Sequence[RunEvent]) -> list[RunEvent]:
        """What the client may see of `events`. Empty after a failure."""
        out: list[RunEvent] = []
        for event in events:
            if self._failed:
                return out
            if isinstance(event, JsonDelta):
                live = self._live
                speaker = live if live and live.node == event.node else self._speaker(event, out)
                if speaker:
                    speaker.feed(event.text)
            elif isinstance(event, JsonSnapshot):
                if speaker := self._speaker(event, out):
                    speaker.replace(event.text)
            elif isinstance(event, RefusalDelta):
                self._refused = True
            elif not isinstance(event, TextDelta | ReasoningDelta):
                self._pass(event, out)
        if self._live is not None:
            self._live.show(out)
        return out

    def _speaker(self, event: JsonDelta | JsonSnapshot, out: list[RunEvent]) -> Speaker | None:
        speaker = self._turns.get(event.node)
        if speaker is None:
            speaker = self._turns[event.node] = Speaker(event.node)
            self._live = self._live or speaker
        if speaker is not self._live:
            speaker.held += len(event.text)
            if sum(other.held for other in self._turns.values()) > self._max_held:
                self._fail(f"{event.node}: too much JSON while another node was speaking.", out)
                return None
        return speaker

    def _enter(self, node: str, parent: str) -> None:
        """Give a node that runs beside others its place: before its parent, after its siblings."""
        if node in self._turns:
            return
        order = list(self._turns)
        at = order.index(parent) if parent in self._turns else len(order)
        if at == 0 and self._live is not None and self._live.begun:
            # What the parent has begun to tell, it ends.
            at = 1
        order.insert(at, node)
        self._turns = {name: self._turns.get(name) or Speaker(name) for name in order}
        self._live = self._turns[order[0]]

    def _pass(self, event: RunEvent, out: list[RunEvent]) -> None:
        match event:
            case NodeStarted(node=node, parent=str() as parent):
                self._enter(node, parent)
                out.append(event)
            case NodeFinished(node=node) if node in self._turns:
                self._turns[node].finished = event
                self._take_turns(out)
            case RunFinished(finish_reason=reason):
                self._take_turns(out, until_all=True)
                if problem := self._fault or self._missing(reason):
                    self._fail(problem, out)
                else:
                    out.append(event)
            case RunFailed():
                self._take_turns(out, until_all=True)
                out.append(event)
                self._failed = True
            case _:
                self._called = self._called or isinstance(event, ToolCallDelta)
                out.append(event)

    def _take_turns(self, out: list[RunEvent], *, until_all: bool = False) -> None:
        for node, speaker in list(self._turns.items()):
            self._live = speaker
            speaker.held = 0
            finished = speaker.finished
            if finished is None and not until_all:
                return
            speaker.finish()
            speaker.show(out, last=True)
            self._said = self._said or speaker.said
            del self._turns[node]
            reason = finished.finish_reason if finished else None
            self._fault = self._fault or speaker.fault(reason or "stop")
            if finished:
                out.append(finished)
        self._live = None

    def _missing(self, reason: FinishReason) -> str | None:
        if self._said or reason in CUT or (self._called and reason == "tool_calls"):
            return None
        problem = "The run produced no JSON, which stream_options.valid_json_chunks needs"
        if self._refused:
            return f"{problem}: the model refused to answer."
        return f"{problem}."

    def _fail(self, message: str, out: list[RunEvent]) -> None:
        self._failed = True
        self._live = None
        out.append(
            RunFailed(
                message=message,
                status=OutputError.status,
                type=OutputError.type,
                code=OutputError.code,
            )
        )
