"""Why a model could not be asked, in the words of what failed below: for the log alone."""

from __future__ import annotations

import re
from typing import cast

__all__ = ["cause_of"]

_CONNECTS = (
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "h11",
    "urllib3",
    "botocore",
    "google.auth",
)
"""Packages under the providers' SDKs that reach a provider, or know who asks it."""
_LONGEST = 500
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
"""The user and password within a proxy's address."""


def cause_of(error: BaseException) -> str | None:
    """Type and message of the failure that `error` comes from, in one line; None for no such.

    That is the innermost one of the system (a socket, a name, TLS), of the package that connects,
    or of reading what came. What an upstream itself said under a status is none: it may hold keys,
    or a client's words.
    """
    found: BaseException | None = None
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if hasattr(current, "status_code"):
            return None
        if _is_telling(current):
            found = current
        current = _below(current)
    if found is None:
        return None
    words = " ".join(_LOGIN.sub("", str(found)).split())
    return f"{type(found).__name__}: {words[:_LONGEST]}"


def _is_telling(error: BaseException) -> bool:
    # pydantic's own quote what did not fit, as botocore's of parameters do, and what has a response
    # quotes that: the words of a model, or of a client.
    kind = type(error)
    quotes = kind.__module__.startswith("pydantic") or kind.__name__ == "ParamValidationError"
    if quotes or hasattr(error, "response") or not str(error):
        return False
    return isinstance(error, OSError | ValueError) or _connects(error)


def _connects(error: BaseException) -> bool:
    return type(error).__module__.startswith(_CONNECTS)


def _below(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    if isinstance(error, BaseExceptionGroup):
        # The last of several models is the one whose failure the client is told.
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[-1]
    # httpcore hides what it maps, which is the system's own word.
    hides = error.__suppress_context__ and not _connects(error)
    return None if hides else error.__context__
