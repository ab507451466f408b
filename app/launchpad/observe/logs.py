"""The server's log: one line a message, the run in every line of a run, no secrets.

    2026-11-03 12:00:00,123 INFO    launchpad.core [run_7f3a ChatWorkflow] message

`configure_logging` is for `launchpad serve`; as a library Launchpad configures nothing and only
writes to loggers below `launchpad`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Literal, NamedTuple, TextIO

from launchpad.errors import ConfigurationError
from launchpad.events import FinishReason, Usage

__all__ = [
    "RunFilter",
    "RunScope",
    "bind_run",
    "configure_logging",
    "hide",
    "log_run_end",
    "log_runs_soon",
    "redact",
    "unbind_run",
]

RunStatus = Literal["completed", "failed", "cancelled"]

_LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_OURS = ("launchpad", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
_METADATA_LIMIT = 1024
_log = logging.getLogger("launchpad.run")


class RunScope(NamedTuple):
    """The run that the current task works for."""

    run_id: str
    workflow: str


_scope: ContextVar[RunScope | None] = ContextVar("launchpad_run", default=None)


def bind_run(run_id: str, workflow: str) -> RunScope | None:
    """Name the run in every log line of the calling task, and of tasks and threads it starts.

    Returns what was bound before, for `unbind_run`. A task that ends with the run need not unbind.
    """
    before = _scope.get()
    _scope.set(RunScope(run_id, workflow))
    return before


def unbind_run(before: RunScope | None) -> None:
    """Go back to what `bind_run` returned. Safe in any task: it sets, it does not reset."""
    _scope.set(before)


class RunFilter(logging.Filter):
    """Gives each record `run_id` and `workflow`, `-` outside of a run; lets everything through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by logging, in the task that logs."""
        scope = _scope.get()
        record.run_id, record.workflow = scope or ("-", "-")
        return True


# What keys look like: a bearer header, the providers' prefixed keys, `api_key=...` in any form.
_SHAPES = (
    r"(?i:\bbearer|\bbasic)\s+[\w.~+/=-]{8,}",
    r"\b(?:sk|pk|rk|wai|gsk|xai|key)-{1,2}[\w-]{8,}",
    r"\bAIza[\w-]{30,}",
    r"(?i:(?:api[-_]?key|secret|token|password)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&}]{8,}",
)
# In small letters, one of these is in every text of ASCII that has such a key. To look for the
# shapes themselves takes ten times as long, and a line of the log is written for every run.
_HINTS = (
    *("bearer", "basic", "sk-", "pk-", "rk-", "wai-", "xai-", "key-", "aiza"),
    *("api-key", "api_key", "apikey", "secret", "token", "password"),
)
_COUNTED = "tokens_"
"""What our own lines say of tokens, which are no secret."""
_SECRET_NAME = re.compile(r"(?:KEY|KEYS|SECRET|TOKEN|PASSWORD)$")
_secrets: set[str] = set()
_pattern = re.compile("|".join(_SHAPES))


def hide(secrets: Iterable[str]) -> None:
    """Never show these again in a log line or a trace's status; shorter than 8 is not a secret."""
    global _pattern  # noqa: PLW0603  compiled once for all of them
    _secrets.update(secret for secret in secrets if len(secret) >= 8)
    known = (re.escape(secret) for secret in sorted(_secrets, key=len, reverse=True))
    _pattern = re.compile("|".join([*known, *_SHAPES]))


def redact(text: str) -> str:
    """The text without what is known to be a secret, or looks like one."""
    if text.isascii():
        small = text.lower().replace(_COUNTED, "")
        if not any(map(small.__contains__, _HINTS)) and not any(map(text.__contains__, _secrets)):
            return text
    return _pattern.sub("[hidden]", text)


class LineFormatter(logging.Formatter):
    """One line a message; a traceback follows on lines of its own, indented. Redacts both."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        """Called by the handler."""
        head = f"{self._time_of(record)} {record.levelname:<7} {record.name}"
        if getattr(record, "run_id", "-") != "-":
            head += f" [{record.__dict__['run_id']} {record.__dict__['workflow']}]"
        # A message quotes what a client sent; an escaped line end can't forge a line of the log.
        lines = [f"{head} {_printable(record.getMessage())}"]
        if record.exc_info:
            lines += _below(self.formatException(record.exc_info))
        if record.stack_info:
            lines += _below(self.formatStack(record.stack_info))
        return redact("\n".join(lines))

    def _time_of(self, record: logging.LogRecord) -> str:
        """As `formatTime`, with one call of `strftime` for all the lines of a second."""
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, self.formatTime(record)[: -len(",000")]
        return f"{self._time},{int(record.msecs):03d}"


class _ServerHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure_logging` installs, to be found again by the next call."""


def configure_logging(
    level: str, *, stream: TextIO | None = None, secrets: Iterable[str] = ()
) -> None:
    """Send the process's log to `stream` (stderr), our and uvicorn's loggers from `level` on.

    Other libraries speak from warnings on. `secrets` and the values of environment variables named
    like keys are never shown. Give uvicorn `log_config=None`. Raises `ConfigurationError` for an
    unknown level. A second call replaces the first.
    """
    number = _LEVELS.get(level.strip().lower())
    if number is None:
        raise ConfigurationError(
            f"LAUNCHPAD_LOG_LEVEL (--log-level) is {level!r}; use one of {', '.join(_LEVELS)}."
        )
    hide([*secrets, *(v for name, v in os.environ.items() if _SECRET_NAME.search(name.upper()))])
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _ServerHandler)]:
        root.removeHandler(handler)
    handler = _ServerHandler(stream or sys.stderr)
    handler.addFilter(RunFilter())
    handler.setFormatter(LineFormatter())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(number if name in {"launchpad", "uvicorn"} else logging.NOTSET)


_soon: ContextVar[bool] = ContextVar("launchpad_log_soon", default=False)


def log_runs_soon() -> None:
    """Log the ends of the calling task's runs in a later turn of the loop.

    For runs that answer a client: its last bytes are not to wait for a line of the log.
    """
    _soon.set(True)


def log_run_end(
    *,
    run_id: str,
    workflow: str,
    model: str,
    status: RunStatus,
    duration: float,
    usage: Usage | None = None,
    finish_reason: FinishReason | None = None,
    code: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """The one INFO line of a run.

    `model` is the id as the client asked for it, `duration` is in seconds, `code` is the error's;
    `metadata` is the client's, shown as JSON and cut at 1,024 characters. The fields are also
    attributes of the record (`launchpad_run`), for handlers that write JSON.
    """
    if not _log.isEnabledFor(logging.INFO):
        return
    ended = (run_id, workflow, model, status, duration, usage, finish_reason, code, metadata)
    loop = _running_loop() if _soon.get() else None
    if loop is not None:
        loop.call_soon(_say_run_end, *ended)
    else:
        _say_run_end(*ended)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # the collector ends a run's coroutine in whatever thread it comes by
        return None


def _say_run_end(
    run_id: str,
    workflow: str,
    model: str,
    status: RunStatus,
    duration: float,
    usage: Usage | None,
    finish_reason: FinishReason | None,
    code: str | None,
    metadata: Mapping[str, object] | None,
) -> None:
    fields: dict[str, object] = {
        "run": run_id,
        "workflow": workflow,
        "model": model,
        "status": status,
        "ms": round(duration * 1000),
    }
    if usage is not None:
        fields |= {"tokens_in": usage.input_tokens, "tokens_out": usage.output_tokens}
    if finish_reason is not None:
        fields["finish"] = finish_reason
    if code is not None:
        fields["code"] = code
    line = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
    if metadata:
        shown = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), default=str)
        cut = shown if len(shown) <= _METADATA_LIMIT else f"{shown[:_METADATA_LIMIT]}…"
        line += f" metadata={cut}"
        fields["metadata"] = metadata
    _log.info("run ended %s", line, extra={"launchpad_run": fields})


_PARTS = frozenset(' "=')


def _value(value: object) -> str:
    text = str(value)
    if text.isprintable() and text and _PARTS.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    # A secret of several lines is one only as long as these are.
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in redact(text)
    )


def _below(traceback: str) -> list[str]:
    """A traceback's lines: an exception's message, which ends it, may have lines of its own."""
    return [f"    {_printable(line)}" for line in redact(traceback).split("\n")]
