"""The request, re-exported from where it lives."""

from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = ["OpenAIChatSchema"]
