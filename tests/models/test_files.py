"""Files that a model cannot be sent, and errors that come with a file but are not about it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, UserPromptPart

from launchpad.errors import RequestError
from launchpad.models import aclose_clients
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.direct import OpenAnswer

P = ModelProvider
PDF = BinaryContent(b"%PDF-", media_type="application/pdf")
VIDEO = BinaryContent(b"AAAA", media_type="video/x-ms-asf")
LATIN = BinaryContent(b"\xe9", media_type="text/csv")


def ask(provider: ModelProvider, files: list[BinaryContent], **settings: Any) -> None:
    """Raises what asking a model does; nobody listens at its address."""
    config = AgentConfig(
        model_provider=provider,
        model_name="some",
        base_url="http://127.0.0.1:1/v1",
        api_key="key",
        model_settings=settings,
    )
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(["What is it?", *files])])]

    async def main() -> None:
        try:
            async with OpenAnswer(config, messages):
                pass
        finally:
            await aclose_clients()

    asyncio.run(main())


@pytest.mark.parametrize("provider", [P.OPENAI_COMPATIBLE, P.OPENAI_RESPONSES, P.ANTHROPIC])
def test_the_file_that_cannot_be_sent_is_named(provider: ModelProvider) -> None:
    with pytest.raises(RequestError, match=r"a file of this request: video/x-ms-asf\.$") as failure:
        ask(provider, [PDF, VIDEO])
    assert (failure.value.code, failure.value.param) == ("unsupported_file", "messages")


def test_text_that_is_none_is_named() -> None:
    with pytest.raises(RequestError, match=r"as the text that it says it is: text/csv\.$"):
        ask(P.OPENAI_COMPATIBLE, [PDF, LATIN])


def test_an_error_that_is_not_about_the_file_stays_what_it_is() -> None:
    """A server's own setting is wrong: the client can do nothing about that."""
    with pytest.raises(UserError, match="cannot both be enabled"):
        ask(P.ANTHROPIC, [PDF], anthropic_cache=True, anthropic_cache_messages=True)
