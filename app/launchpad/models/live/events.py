"""The events of any pydantic-ai model as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import StreamedResponse

from launchpad.events import Delta, ReasoningDelta, RefusalDelta, Usage
from launchpad.models.finish_reasons import BREAKS_OFF
from launchpad.models.live.responses import TeeResponse
from launchpad.models.live.stream import LiveStream, Names, Speech
from launchpad.models.upstream_errors import as_upstream_error, cut

__all__ = ["EventLive", "deltas_of", "ended_for", "usage_of"]


class EventLive(LiveStream):
    """Reads a `TeeResponse`: the events of any pydantic-ai model as ours."""

    def __init__(self, response: TeeResponse, names: Names) -> None:
        self._response = response
        self._names = names

    async def batches(self, node: str, *, structured: bool) -> AsyncIterator[Sequence[Delta]]:
        """See `LiveStream`."""
        say = Speech(node, structured=structured, names=self._names)
        response = self._response
        while True:
            if not response.for_live:
                if response.ended:
                    break
                try:
                    await response.advance()
                except Exception as error:
                    found = as_upstream_error(error)
                    if found is None or found is error:
                        raise
                    raise found from error
                continue
            events, response.for_live = response.for_live, []
            out: list[Delta] = []
            for event in events:
                out += deltas_of(event, say)
            if out:
                yield out
        whole = response.get()
        reason = ended_for(whole)
        if rest := say.end(reason):
            yield rest
        if reason and reason.lower() in BREAKS_OFF:
            raw = (whole.provider_details or {}).get("finish_reason")
            raise cut(f"its finish reason is {raw or reason!r}")
        self.finish_reason = say.reason(reason)
        self.hid_calls = say.hides_calls
        self.usage = usage_of(whole.usage)
        refusal = (whole.provider_details or {}).get("refusal")
        if isinstance(refusal, str) and refusal:
            # pydantic-ai keeps a refusal's words out of its events, and calls the end of it
            # content_filter; on OpenAI's wire that is "stop".
            self.refused = True
            if self.finish_reason == "content_filter":
                self.finish_reason = "stop"
            yield [RefusalDelta(node, refusal)]


def deltas_of(event: ModelResponseStreamEvent, say: Speech, *, answer: int = 0) -> Sequence[Delta]:
    """What an event of pydantic-ai adds to a node's speech. `answer` numbers a run's answers."""
    if isinstance(event, PartStartEvent):
        return _started((answer, event.index), event.part, say)
    if isinstance(event, PartDeltaEvent):
        return _added((answer, event.index), event.delta, say)
    return ()


def _started(key: object, part: object, say: Speech) -> Sequence[Delta]:
    if isinstance(part, TextPart):
        return say.text(part.content)
    if isinstance(part, ThinkingPart) and part.content:
        return [ReasoningDelta(say.node, part.content)]
    if isinstance(part, ToolCallPart):
        return say.tool_call(
            key, part.tool_name, part.tool_call_id, _json(part.args), _extra(part.provider_details)
        )
    return ()


def _added(key: object, delta: object, say: Speech) -> Sequence[Delta]:
    if isinstance(delta, TextPartDelta):
        return say.text(delta.content_delta)
    if isinstance(delta, ThinkingPartDelta) and delta.content_delta:
        return [ReasoningDelta(say.node, delta.content_delta)]
    if isinstance(delta, ToolCallPartDelta):
        return say.tool_call(
            key,
            delta.tool_name_delta,
            delta.tool_call_id,
            _json(delta.args_delta),
            _extra(delta.provider_details),
        )
    return ()


def _extra(details: dict[str, Any] | None) -> object:
    """A call's `extra_content`, where pydantic-ai keeps it."""
    return details.get("extra_content") if details else None


def _json(arguments: object) -> str | None:
    """A call's arguments as JSON text; some providers give them as one object."""
    if arguments is None or isinstance(arguments, str):
        return arguments
    return json.dumps(arguments)


def ended_for(response: ModelResponse | StreamedResponse) -> str | None:
    """Why an answer ended: pydantic-ai's word, or the provider's where pydantic-ai has none."""
    if response.finish_reason is not None:
        return response.finish_reason
    raw = (response.provider_details or {}).get("finish_reason")
    return raw if isinstance(raw, str) else None


def usage_of(usage: Any) -> Usage | None:
    """pydantic-ai's `RequestUsage` or `RunUsage` as ours; None where an upstream gave none."""
    if getattr(usage, "unmeasured_requests", 0) or not (usage.input_tokens or usage.output_tokens):
        return None
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cache_read_tokens,
        # The details have each provider's own name for it.
        reasoning_tokens=usage.output_reasoning_tokens or usage.details.get("reasoning_tokens", 0),
    )
