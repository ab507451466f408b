"""What an event wishes of the models that answer it."""

from __future__ import annotations

from typing import Any

from launchpad.models.scope import RequestScope

__all__ = ["scope_of"]


def scope_of(event: Any) -> RequestScope | None:
    """The wishes of an event that has any; None for any other.

    An event says them by `model_settings()`, sampling parameters in pydantic-ai's terms, and
    `model_form()`, the further fields of `RequestScope`: OpenAI's chat request does.
    """
    settings: Any = getattr(event, "model_settings", None)
    if not callable(settings):
        return None
    form: Any = getattr(event, "model_form", dict)
    fields: dict[str, Any] = form()
    given: Any = settings()
    return RequestScope(settings=given, **fields)
