"""One choice of a stream in which every chunk's content is a whole JSON document.

The rule of `valid_json_chunks`: a client that calls `json.loads(delta.content)` on
every chunk never fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from launchpad.errors import UpstreamError
from launchpad.events import (
    FinishReason,
    JsonDelta,
    JsonSnapshot,
    NodeFinished,
    RunEvent,
    RunFailed,
    RunFinished,
    ToolCallDelta,
)
from launchpad.stream.partial_json.escape import SnapshotEscaper
from launchpad.stream.partial_json.operators import CUT, JsonSnapshots
from launchpad.wire.openai_chat.calls import CallIndex
from launchpad.wire.openai_chat.chunks import ChoiceTemplate
from launchpad.wire.pairs import Pairs

__all__ = ["JsonChoice"]

_EMPTY = "{}"
_NO_JSON = "The run produced no JSON, which stream_options.valid_json_chunks needs."
_SERVER_ERROR = "server_error"


class JsonChoice:
    """Writes one choice's chunks from snapshots: those of `JsonSnapshots`, or a node's own.

    Where fragments come, because nobody has applied that operator to the run, it is applied here.
    """

    def __init__(self, template: ChoiceTemplate, calls: CallIndex, *, hold_limit: int) -> None:
        self._template = template
        self._calls = calls
        self._hold_limit = hold_limit
        self._snapshots: JsonSnapshots | None = None
        self._escaper = SnapshotEscaper()
        self._pairs = Pairs()
        self._tails: dict[str, bytes] = {}
        self._node: str | None = None
        self._last = _EMPTY
        self._begun = False
        self._finish_reason: FinishReason | None = None

    def write(self, events: Sequence[RunEvent], out: list[bytes]) -> RunFinished | RunFailed | None:
        """Append the chunks that `events` are; return the event that ends the run, if it is there.

        Raises `UpstreamError` where a run that finished, and was not cut (`CUT`), has produced no
        JSON and no chunk, so that the failure gets its HTTP status.
        """
        failure = events[-1] if isinstance(events[-1], RunFailed) else None
        if self._snapshots is None and any(type(event) is JsonDelta for event in events):
            self._snapshots = JsonSnapshots(max_held=self._hold_limit)
        for event in self._snapshots(events) if self._snapshots is not None else events:
            match event:
                case JsonSnapshot():
                    self._show(event, out)
                case ToolCallDelta():
                    self._call(self._pairs.join(event), out)
                case NodeFinished(node=node, finish_reason=reason) if node in self._tails:
                    self._finish_reason = reason or self._finish_reason
                    self._end_calls(out, node)
                case RunFinished():
                    self._end_calls(out)
                    self._finish(event, out)
                    return event
                case RunFailed() if failure is None and not self._begun:
                    raise UpstreamError(
                        event.message, status=event.status, type=event.type, code=event.code
                    )
                case RunFailed():
                    return event
                case _:
                    pass
        # After a failure of its own, the operator says nothing more.
        return failure

    def _show(self, event: JsonSnapshot, out: list[bytes]) -> None:
        if event.node != self._node:
            self._node = event.node
            self._escaper = SnapshotEscaper()
        self._last = event.text
        out.append(self._document(self._tail(event.node)))

    def _call(self, event: ToolCallDelta, out: list[bytes]) -> None:
        # The call rides on a repetition of the document, so that this chunk parses too.
        tail = self._tail(event.node)
        calls = self._calls.pieces(event)
        out.extend([self._document(b',"tool_calls":' + call + tail) for call in calls])

    def _end_calls(self, out: list[bytes], node: str | None = None) -> None:
        for half in self._pairs.release(node):
            if isinstance(half, ToolCallDelta):
                self._call(half, out)

    def _finish(self, event: RunFinished, out: list[bytes]) -> None:
        reason = self._calls.ending(self._finish_reason or event.finish_reason)
        if not self._begun:
            if reason not in CUT:
                raise UpstreamError(_NO_JSON, status=500, type=_SERVER_ERROR, code="invalid_output")
            # Cut before the first brace: an answer like any other that was cut.
            out.append(self._document(self._template.tail(None)))
        out.append(self._document(self._template.tail(self._node, reason)))

    def _document(self, tail: bytes) -> bytes:
        """A chunk whose content is the last document; `tail` follows its closing quote."""
        if self._begun:
            head = self._template.head("content")
        else:
            self._begun = True
            head = self._template.head("role") + b'"assistant","content":'
            tail = b',"refusal":null' + tail
        return self._escaper.frame(head + b'"', self._last, b'"' + tail)

    def _tail(self, node: str) -> bytes:
        tail = self._tails.get(node)
        if tail is None:
            tail = self._tails[node] = self._template.tail(node)
        return tail
