"""Which live reader an opened answer gets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from launchpad.models.live.chat import ChatLive
from launchpad.models.live.events import EventLive
from launchpad.models.live.responses import TeeResponse
from launchpad.models.live.stream import LiveStream, Names
from launchpad.models.openai_compatible.special_tokens import broke_tokens

if TYPE_CHECKING:
    from pydantic_ai.models import ModelRequestParameters, StreamedResponse

    from launchpad.models.openai_compatible.client import Opened
    from launchpad.models.openai_compatible.stream import ChatStream

__all__ = ["live_for_agent", "live_for_client", "live_of"]

_TEXT = Names()
_DOCUMENT = Names(document=True)
_CHAT = Names(others_are_clients=True)


def live_for_client(stream: ChatStream) -> LiveStream:
    """The live reader of a chat model's answer that nobody else reads."""
    return ChatLive(stream, _CHAT)


def live_for_agent(stream: ChatStream, *, document: bool = False) -> LiveStream:
    """The live reader of an agent's answer where no tool is known to either side.

    With `document`, text is JSON of the agent's own output type.
    """
    return ChatLive(stream, _DOCUMENT if document else _TEXT)


def live_of(
    opened: Opened,
    response: StreamedResponse,
    client: frozenset[str],
    *,
    others_are_clients: bool = False,
    document: bool = False,
) -> tuple[LiveStream, StreamedResponse]:
    """The live reader of an answer that was just opened, and the response to go on with.

    Calls of `client` tools are shown; with `others_are_clients`, all are. With `document`, text is
    JSON of the agent's own output type.
    """
    names = _names(response.model_request_parameters, client)
    if document:
        names = replace(names, document=True)
    if others_are_clients:
        names = replace(names, others_are_clients=True)
    stream = opened.stream
    # Where pydantic-ai has changed the prompt, it has to change the answer back: it is read there.
    if stream is not None and not stream.closed and not broke_tokens(opened.body):
        return ChatLive(stream, names), response
    tee = TeeResponse(response)
    return EventLive(tee, names), tee


def _names(parameters: ModelRequestParameters, client: frozenset[str]) -> Names:
    if not parameters.output_tools and not client and parameters.allow_text_output:
        return _TEXT
    return Names(
        output=frozenset(tool.name for tool in parameters.output_tools),
        client=client,
        text=parameters.allow_text_output,
    )
