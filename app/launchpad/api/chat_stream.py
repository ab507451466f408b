"""`/chat/stream` and `/chat/stream-meta`: the tutorial's endpoints, for any workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from launchpad.api.token_stream import Asked, MessageRequest, TokenStream
from launchpad.wire.base import Encoder
from launchpad.wire.tokens import TokenEncoder, TokenMetaEncoder

__all__ = ["ChatStream", "ChatStreamMeta"]


class ChatRequest(MessageRequest):
    """The tutorial's request, and which workflow answers it.

    Without `system_prompt` there is none but the workflow's own instructions.
    """

    system_prompt: str | None = None
    model: str | None = None


class ChatStream(TokenStream):
    """`POST` or `GET /chat/stream`."""

    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST"})

    def ask(self, given: Mapping[str, Any]) -> Asked:
        """See `TokenStream`. Raises `UnknownModelError` where no workflow has that id."""
        request = ChatRequest.model_validate(given)
        served = self._catalog.find(request.model or None)
        return Asked(served, request.message, request.system_prompt, request.model or served.id)

    def encoder(self, asked: Asked, *, ids: bool) -> tuple[Encoder, bytes]:
        """Tokens, and nothing before them."""
        return TokenEncoder(ids=ids), b""


class ChatStreamMeta(ChatStream):
    """`POST` or `GET /chat/stream-meta`."""

    def encoder(self, asked: Asked, *, ids: bool) -> tuple[Encoder, bytes]:
        """Tokens between two events about them, the first of which leaves at once."""
        encoder = TokenMetaEncoder(asked.model, ids=ids)
        return encoder, encoder.greeting()
