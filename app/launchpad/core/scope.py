"""What a request wishes of the models that answer it."""

from __future__ import annotations

from typing import Any

from launchpad.models.scope import RequestScope
from launchpad.wire.openai_chat.client_form import response_format, tool_choice, tool_definitions
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def scope_of(request: Any) -> RequestScope | None:
    """The wishes of a chat request: sampling parameters, the client's tools, the answer's format.

    None for an event that is no chat request.
    """
    if not isinstance(request, OpenAIChatSchema):
        return None
    return RequestScope(
        settings=request.model_settings(),
        client_tools=tool_definitions(request),
        tool_choice=tool_choice(request),
        response_format=response_format(request),
    )
