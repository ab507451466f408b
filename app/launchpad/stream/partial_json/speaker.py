"""One node that speaks JSON: its reader, what of it was sent, and how it ended."""

from __future__ import annotations

from typing import Final

from launchpad.events import FinishReason, JsonSnapshot, NodeFinished, RunEvent
from launchpad.stream.partial_json.lexer import PartialJson
from launchpad.stream.partial_json.pacer import SnapshotPacer

__all__ = ["Speaker"]

_BYTES_A_CHARACTER: Final = 4  # at most, in UTF-8


class Speaker:
    """Turns a node's fragments into the snapshots that are due."""

    __slots__ = (
        "_dirty",
        "_documents",
        "_pacer",
        "_patience",
        "_reader",
        "_sent",
        "_whole",
        "finished",
        "held",
        "node",
        "said",
    )

    def __init__(self, node: str) -> None:
        self.node = node
        self.finished: NodeFinished | None = None
        """The node's end, kept until it is this node's turn."""
        self.held = 0
        """Characters it said while it was not its turn."""
        self.said = False
        """Whether a snapshot was sent."""
        self._reader = PartialJson()
        self._pacer = SnapshotPacer()
        # Characters to come before asking the pacer again can be of use.
        self._patience = 0.0
        self._documents: int = 0
        self._dirty = False
        self._sent = ""
        self._whole = False

    @property
    def begun(self) -> bool:
        """Whether a document has begun."""
        return self._reader.started

    def feed(self, text: str) -> None:
        """Read a fragment."""
        self._patience -= len(text)
        if self._reader.feed(text):
            self._dirty = True

    def replace(self, text: str) -> None:
        """Take a snapshot that the node made itself."""
        self._reader = PartialJson()
        self._reader.feed(text)
        self._reader.finish()
        self._documents = self._reader.documents
        self._dirty = self._whole = True
        self._patience = 0

    def finish(self) -> None:
        """The node has said all it had to say."""
        if self._reader.finish():
            self._dirty = True

    def show(self, out: list[RunEvent], *, last: bool = False) -> None:
        """Add the snapshots that are due to `out`; with `last`, whatever was not sent yet."""
        reader = self._reader
        if reader.documents != self._documents:
            self._documents = reader.documents
            for text in reader.superseded:
                self._send(text, 0, out)
            reader.superseded.clear()
            self._pacer = SnapshotPacer()
            self._patience = 0
        if not self._dirty:
            return
        last = last or (reader.complete and not self._whole)
        if self._patience > 0 and not last:
            return
        text, size, cost = reader.sized_snapshot()
        if not last and (growth := self._pacer.wait(size, cost)):
            self._patience = growth / _BYTES_A_CHARACTER
            return
        self._dirty = False
        self._send(text, cost, out)

    def fault(self, reason: FinishReason) -> str | None:
        """What is wrong with the last document of a run that ended for `reason`; safe to show."""
        if self._reader.error:
            return f"{self.node}: the output is not valid JSON; what could be read of it was sent."
        if self._reader.started and not self._reader.complete and reason == "stop":
            return f"{self.node}: the output ended before its JSON document was complete."
        return None

    def _send(self, text: str, cost: int, out: list[RunEvent]) -> None:
        if text and text != self._sent:
            self._sent = text
            self.said = True
            self._pacer.sent(cost)
            out.append(JsonSnapshot(self.node, text))
