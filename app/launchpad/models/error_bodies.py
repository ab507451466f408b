"""What an upstream's error body says, and what of it may be shown."""

from __future__ import annotations

import json
import re
from typing import Any, cast

__all__ = ["error_object", "parameter_of", "safe_words", "word_of"]

_UNSAFE = re.compile(
    r"""
      [a-z][a-z0-9+.-]*://                  # an address
    | \b\d{1,3}(?:\.\d{1,3}){3}\b           # an IPv4 address
    | \b(?:localhost|[\w-]+(?:\.[\w-]+)+):\d+  # a host and port
    | (?:^|[\s"'(=])(?:/[\w.-]+){2,}        # a path
    | [A-Za-z]:\\\\                         # a path on Windows
    | \b(?:sk|pk|key|gsk|org|proj)[-_][A-Za-z0-9_*-]{6,}  # a key or account
    | \bbearer\s                            # a header
    | \bapi[-_ ]?key\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST = 500
_PARAMETER = re.compile(r"[A-Za-z_][\w.\[\]-]{0,63}", re.ASCII)
"""A parameter's name or path: `max_tokens`, `messages[1].content`."""


def error_object(body: object) -> dict[str, Any]:
    """The object in a decoded body that says what went wrong; an empty one where none does.

    It is `{"error": {…}}`, where `{"error": "…"}` is a message alone; the body itself, or what the
    OpenAI SDK leaves of it, where FastAPI's servers call the message `detail`; or the first of a
    list of these, as Google's OpenAI-compatible server sends; or the text of one, as Mistral's SDK
    leaves it. botocore writes `Error` and `Message`. A body that is no JSON, an error page for
    instance, says nothing that is meant for clients.
    """
    if isinstance(body, str):
        body = _decoded(body)
    if isinstance(body, list):
        body = next(iter(cast("list[object]", body)), None)
    if not isinstance(body, dict):
        return {}
    outer = cast("dict[str, Any]", body)
    inner = outer.get("error") or outer.get("Error") or outer
    if not isinstance(inner, dict):
        return {"message": inner}
    found = cast("dict[str, Any]", inner)
    if "message" in found:
        return found
    words = found.get("Message", found.get("detail") if found is outer else None)
    return found if words is None else {**found, "message": words}


def _decoded(body: str) -> object:
    try:
        return cast("object", json.loads(body)) if body.lstrip()[:1] in {"{", "["} else None
    except (ValueError, RecursionError):
        return None


def safe_words(message: object) -> str | None:
    """An upstream's message, if it may be shown: no address, path or key in it, not too long."""
    if not isinstance(message, str):
        return None
    words = " ".join(message.split())
    return words if words and len(words) <= _LONGEST and not _UNSAFE.search(words) else None


def parameter_of(name: object) -> str | None:
    """Which parameter an upstream rejects, where that is the name of one and nothing else."""
    return name if isinstance(name, str) and _PARAMETER.fullmatch(name) else None


def word_of(code: object) -> str | None:
    """An error code that says more than a status: llama.cpp has the status again there."""
    return code if isinstance(code, str) and code and not code.isdigit() else None
