"""`OpenAIChatEncoder`: a run's events as chunks of OpenAI's chat completions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Protocol

from launchpad.errors import LaunchpadError
from launchpad.events import RunEvent, RunFailed, RunFinished, RunStarted, Usage, total_usage
from launchpad.sse.frame import DONE, data_frame
from launchpad.wire.base import Failure
from launchpad.wire.openai_chat.calls import CallIndex
from launchpad.wire.openai_chat.choice import WordsChoice
from launchpad.wire.openai_chat.chunks import ChoiceTemplate, ChunkTemplate
from launchpad.wire.openai_chat.errors import error_body, failure
from launchpad.wire.openai_chat.json_choice import JsonChoice
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.wire.order import HOLD_LIMIT

__all__ = ["ChoiceEncoder", "OpenAIChatEncoder"]

MEDIA_TYPE = "text/event-stream; charset=utf-8"


class _Choice(Protocol):
    def write(
        self, events: Sequence[RunEvent], out: list[bytes]
    ) -> RunFinished | RunFailed | None: ...


class OpenAIChatEncoder:
    """Encodes one response: one run, or `choices` runs of one request (`n`).

    `request`, `run_id` and `created` (Unix seconds) left out are taken from the run's
    `RunStarted`, and from the clock. The stream ends after the last choice's `RunFinished` (usage
    if it was asked for and every run has it, then `[DONE]`), or at the first `RunFailed` (one
    error object, no `[DONE]`).
    """

    def __init__(
        self,
        request: OpenAIChatSchema | None = None,
        *,
        run_id: str | None = None,
        created: int | None = None,
        choices: int = 1,
        hold_limit: int = HOLD_LIMIT,
    ) -> None:
        self.ended = False
        """Whether the stream's last byte has been encoded."""
        self._request = request
        self._run_id = run_id
        self._created = created
        self._hold_limit = hold_limit
        self._template: ChunkTemplate | None = None
        self._open: dict[int, _Choice | None] = dict.fromkeys(range(choices))
        self._usages: list[Usage | None] = []
        self._unsent: list[bytes] = []

    @property
    def media_type(self) -> str:
        """Server-sent events."""
        return MEDIA_TYPE

    def encode(self, events: Sequence[RunEvent], choice: int = 0) -> bytes:
        """The frames that `events` of the run behind `choice` are. See `Encoder.encode`."""
        if self.ended or not events or choice not in self._open:
            return b""
        writer = self._open[choice] or self._begin(events[0], choice)
        out, self._unsent = self._unsent, []
        try:
            end = writer.write(events, out)
        except LaunchpadError:
            # What was told before stays told: it leaves with the error.
            self._unsent = out
            raise
        if end is not None:
            self._end(end, choice, out)
        return b"".join(out)

    def choice(self, index: int) -> ChoiceEncoder:
        """An `Encoder` for the run behind one choice; all of them share this stream's end."""
        return ChoiceEncoder(self, index)

    def failure(self, event: RunFailed) -> Failure:
        """OpenAI's error object with the status that `event` deserves."""
        return failure(event)

    def _begin(self, first: RunEvent, choice: int) -> _Choice:
        template = self._template or self._make_template(first)
        writer = self._open[choice] = self._make_choice(template, choice)
        return writer

    def _make_template(self, first: RunEvent) -> ChunkTemplate:
        if isinstance(first, RunStarted):
            self._run_id = self._run_id or first.run_id
            if self._request is None and isinstance(first.request, OpenAIChatSchema):
                self._request = first.request
        request = self._request
        self._template = ChunkTemplate(
            run_id=self._run_id or uuid.uuid4().hex,
            created=int(time.time()) if self._created is None else self._created,
            model="default" if request is None else request.model,
            include_usage=request is not None and request.include_usage,
        )
        return self._template

    def _make_choice(self, template: ChunkTemplate, index: int) -> _Choice:
        wants_json = self._request is not None and self._request.valid_json_chunks
        kind = JsonChoice if wants_json else WordsChoice
        return kind(
            ChoiceTemplate(template, index),
            CallIndex(template.run_id, index),
            hold_limit=self._hold_limit,
        )

    def _end(self, end: RunFinished | RunFailed, choice: int, out: list[bytes]) -> None:
        if isinstance(end, RunFailed):
            out.append(data_frame(error_body(end)))
            self.ended = True
            return
        del self._open[choice]
        self._usages.append(end.usage)
        if self._open:
            return
        usage = total_usage(self._usages)
        if self._template is not None and self._template.include_usage and usage is not None:
            out.append(self._template.usage(usage))
        out.append(DONE)
        self.ended = True


class ChoiceEncoder:
    """One choice's side of an `OpenAIChatEncoder`."""

    def __init__(self, whole: OpenAIChatEncoder, index: int) -> None:
        self._whole = whole
        self._index = index

    @property
    def media_type(self) -> str:
        """The whole's."""
        return self._whole.media_type

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """The choice's chunks, and the stream's end where this is the last one."""
        return self._whole.encode(events, self._index)

    def failure(self, event: RunFailed) -> Failure:
        """The whole's."""
        return self._whole.failure(event)
