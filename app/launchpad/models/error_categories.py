"""What pydantic-ai's category of a provider's error says of it, beside or without an HTTP status.

Not every provider has HTTP's statuses for what they mean: Google calls a wrong key a 400 and a
daily quota that is used up a 429, Anthropic an empty account a 400, Bedrock an unknown model a 400.
pydantic-ai knows them by their codes and words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai import ModelAPIError

__all__ = ["broken", "code_meant", "status_meant"]

_OF_CREDENTIALS = frozenset({401, 402, 403, 404})
"""Statuses that would make the request's own fault one of this server's operator."""


def status_meant(error: ModelAPIError) -> int | None:
    """The status that HTTP has for what `error` is; its own where its category says no more."""
    from pydantic_ai import exceptions as of

    meant: tuple[tuple[type[Exception], int], ...] = (
        (of.ModelContextWindowExceededError, 400),
        (of.ModelAuthenticationError, 401),
        (of.ModelQuotaExceededError, 402),
        (of.ModelNotFoundError, 404),
        (of.ModelRateLimitError, 429),
    )
    for category, status in meant:
        if isinstance(error, category):
            return status
    own: int | None = getattr(error, "status_code", None)
    if isinstance(error, of.ModelRequestRejectedError):
        # Such as the 403 of OpenRouter's moderation.
        return 400 if own is None or own in _OF_CREDENTIALS else own
    if isinstance(error, of.ModelUnavailableError | of.ModelServerError):
        return own if own is not None and own >= 500 else 503
    return own


def code_meant(error: ModelAPIError) -> str | None:
    """The provider's code; OpenAI's for a conversation that is too long, whatever names it has."""
    from pydantic_ai.exceptions import ModelContextWindowExceededError

    if isinstance(error, ModelContextWindowExceededError):
        return "context_length_exceeded"
    return error.provider_error_code


def broken(error: ModelAPIError) -> str | None:
    """What is wrong with the connection to the provider; None where it was not that.

    The words are those of our own reader (`openai_compatible.request`).
    """
    from pydantic_ai.exceptions import ModelConnectionError

    if not isinstance(error, ModelConnectionError):
        return None
    if error.phase in {"connect", "pool"}:
        return "The model provider could not be reached."
    return "The connection to the model provider broke."
