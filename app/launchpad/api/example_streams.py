"""`/anthropic/stream` and `/langchain/stream`: the tutorial's other two endpoints.

Each serves the workflow of its name, shipped or the registry's own, and is not there where there
is no such workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launchpad.api.token_stream import Asked, MessageRequest, TokenStream
from launchpad.wire.base import Encoder
from launchpad.wire.tokens import BareTokenEncoder, TokenEncoder

__all__ = ["AnthropicStream", "LangChainStream"]


class AnthropicRequest(MessageRequest):
    """The tutorial's request to Anthropic."""

    system: str = "You are a helpful assistant."


class AnthropicStream(TokenStream):
    """`POST /anthropic/stream`: the workflow `anthropic`."""

    model = "anthropic"
    path = "/anthropic/stream"

    def ask(self, given: Mapping[str, Any]) -> Asked:
        """See `TokenStream`."""
        request = AnthropicRequest.model_validate(given)
        return Asked(self._catalog.find(self.model), request.message, request.system, self.model)

    def encoder(self, asked: Asked, *, ids: bool) -> tuple[Encoder, bytes]:
        """As `/chat/stream`."""
        return TokenEncoder(ids=ids), b""


class LangChainStream(TokenStream):
    """`POST /langchain/stream`: the workflow `langchain`."""

    model = "langchain"
    path = "/langchain/stream"

    def ask(self, given: Mapping[str, Any]) -> Asked:
        """See `TokenStream`."""
        request = MessageRequest.model_validate(given)
        return Asked(self._catalog.find(self.model), request.message, None, self.model)

    def encoder(self, asked: Asked, *, ids: bool) -> tuple[Encoder, bytes]:
        """Tokens alone."""
        return BareTokenEncoder(ids=ids), b""
