"""Document 001's door: a workflow's stream as the body of a `StreamingResponse`."""

from __future__ import annotations

import inspect

from launchpad.errors import DefinitionError
from launchpad.settings import get_settings
from launchpad.stream.run_stream import EventStream
from launchpad.wire.frames import FrameStream
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder

__all__ = ["event_stream_generator"]


def event_stream_generator(stream: EventStream) -> FrameStream:
    """Encode what `Workflow.run_stream_async` returned as OpenAI chat chunks over SSE.

    The request's model id and stream options come from the run itself. Give the result to
    Starlette's `StreamingResponse`: it has `__aiter__`, `__anext__` and `aclose`, and ends the
    run, closing the upstream's connection, when the client leaves or it is dropped. As the
    response's head is gone before the first item, every failure is an error event here.

    Debounce, heartbeat and the time that a client may take nothing are the settings'
    (`LAUNCHPAD_DEBOUNCE`, `LAUNCHPAD_HEARTBEAT`, `LAUNCHPAD_SEND_TIMEOUT`). Raises
    `DefinitionError` for anything else than such a stream.
    """
    _check(stream)
    settings = get_settings()
    return FrameStream(
        stream,
        OpenAIChatEncoder(),
        debounce=settings.debounce,
        heartbeat=settings.heartbeat,
        max_bytes=settings.max_output_bytes,
        send_timeout=settings.send_timeout,
    )


def _check(stream: object) -> None:
    if isinstance(stream, EventStream):
        return
    if inspect.iscoroutine(stream):
        stream.close()
    raise DefinitionError(
        f"event_stream_generator takes what run_stream_async returns, not {type(stream).__name__}; "
        "write event_stream_generator(MyWorkflow().run_stream_async(event)), without await."
    )
