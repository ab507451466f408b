"""How long a provider asks to wait, from the headers of its answer."""

from __future__ import annotations

import math
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["retry_after_of"]


def retry_after_of(headers: Any) -> float | None:
    """Seconds that a response asks to wait, from a mapping that knows its names in lower case.

    `retry-after-ms` (OpenAI's and Anthropic's own), then `retry-after`: seconds, which their SDKs
    take with a fraction too, or a date (RFC 9110, 10.2.3), which counts from the answer's own,
    where it has one: two clocks need not agree. None where neither says a time.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers[name])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(wait) and wait >= 0:
            return wait / unit
    until = _seconds(headers, "retry-after")
    if until is None:
        return None
    now = _seconds(headers, "date")
    return max(0.0, until - (time.time() if now is None else now))


def _seconds(headers: Any, name: str) -> float | None:
    """A header's date, in seconds since 1970; None where it is none."""
    try:
        when = parsedate_to_datetime(headers[name])
    except (KeyError, TypeError, ValueError):
        return None
    # A date without a zone is in UTC, as all of HTTP's are.
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
