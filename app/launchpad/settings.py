"""Every setting: its name, environment variable, default and unit.

Each field is read from `LAUNCHPAD_<NAME>` in the environment or in a `.env` file of the working
directory (the environment wins). Times are seconds; `inf` is without end. Constructing `Settings`
raises `pydantic.ValidationError` on a bad value; `load_settings` turns that into
`ConfigurationError`.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from launchpad.errors import ConfigurationError

__all__ = [
    "Settings",
    "get_settings",
    "load_settings",
    "use_settings",
    "warn_of_unknown_variables",
]

_PREFIX = "LAUNCHPAD_"
_OWN_VARIABLES = frozenset({"TARGET", "LOCAL_MODEL_URL", "LOCAL_MODEL_KEY"})
"""What a process tells the processes that it starts."""

_WITHOUT_HOST = frozenset({"*", "null", "file://"})
"""Origins of no host; Android's web views call a page of the device's `file://`."""

_TEN_YEARS = 10 * 365 * 24 * 3600.0
"""As good as `inf`, which threads cannot wait for."""


def _bounded(seconds: float) -> float:
    return min(seconds, _TEN_YEARS)


NonNegative = Annotated[float, Field(ge=0), AfterValidator(_bounded)]
Positive = Annotated[float, Field(gt=0), AfterValidator(_bounded)]


class Settings(BaseSettings):
    """All settings of a Launchpad process."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", extra="ignore", frozen=True
    )

    # Where it listens
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    log_level: str = "info"
    workers: int = Field(default=1, ge=1)

    # What it serves
    model: str = "local"
    """The default model of the shipped workflows: `local` or `PROVIDER:NAME`."""
    anthropic_model: str = "claude-haiku-4-5-20251001"
    """What the `anthropic` example asks; `local` is the model inside the machine."""
    default_workflow: str = "streaming"
    """The workflow that the model id `default` means."""
    model_aliases: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """`gpt-4o=chat,*=chat`: which workflow answers to which other model id."""

    # Who may call it
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """`name=key,name2=sha256:<hex>`: plain or hashed keys, each with an optional name."""
    api_keys_file: Path | None = None
    """A file with one `name=key` a line; `#` starts a comment."""
    allow_unauthenticated: bool = False
    """Serve beyond loopback although no key is set."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    # How it streams
    debounce: NonNegative = 0.010
    """Deltas within this window after one that left, leave together; 0 sends each at once."""
    heartbeat: NonNegative = 15.0
    """A comment is sent after this much silence; 0 turns it off."""
    send_timeout: Positive = 30.0
    """A client that does not read for this long is cut off."""

    # What bounds it
    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0)
    max_messages: int = Field(default=2048, gt=0)
    max_output_bytes: int = Field(default=16 * 1024 * 1024, gt=0)
    """An answer whose text is longer ends with an error (one that streams: before twice this)."""
    max_choices: int = Field(default=8, gt=0)
    max_concurrent_runs: int = Field(default=1024, gt=0)
    max_concurrent_runs_per_key: int | None = Field(default=None, gt=0)
    max_queued_runs: int = Field(default=256, ge=0)
    queue_timeout: Positive = 10.0
    request_timeout: Positive = 600.0
    first_token_timeout: Positive = 120.0
    """How long an upstream may take to its first token."""
    stall_timeout: Positive = 60.0
    """How long an upstream may pause between two tokens."""
    connect_timeout: Positive = 10.0
    shutdown_grace: NonNegative = 20.0
    """How long open streams may go on after SIGTERM."""
    block_warning: Positive = 0.25
    """A node that keeps the event loop this long is named in the log."""

    # The model inside the machine
    local_context: int = Field(default=8192, gt=0)
    """In tokens; shared by the answers made at once, so that each has 2048 by default."""
    local_parallel: int = Field(default=4, gt=0)
    """How many answers are made at once; each has `local_context / local_parallel` tokens."""
    local_threads: int | None = Field(default=None, gt=0)
    local_max_tokens: int = Field(default=512, gt=0)

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _parse_aliases(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not (name.strip() and equals and target.strip()) for name, equals, target in pairs):
            raise ValueError("write it as name=workflow,name2=workflow2")
        return {name.strip(): target.strip() for name, _, target in pairs}

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _no_file(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # What a browser sends is scheme, host and port: with more or less none ever matches.
        for one in value:
            if one not in _WITHOUT_HOST and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#]+", one):
                raise ValueError(f"{one!r} is no origin; write it as https://app.example, or *")
        return value


def load_settings(**overrides: object) -> Settings:
    """Read the settings now; `overrides` (None is skipped) win over the environment.

    Raises `ConfigurationError`, which names the variable and what is wrong with it.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic validates the values
    except ValidationError as error:
        lines: list[str] = []
        for problem in error.errors(include_url=False, include_input=False):
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            lines.append(f"{_PREFIX}{name.upper()}: {problem['msg']}")
        raise ConfigurationError("Settings are wrong. " + "; ".join(lines)) from error


@lru_cache(maxsize=1)
def warn_of_unknown_variables() -> None:
    """Log, once in a process, which `LAUNCHPAD_…` variables are no setting and so change nothing.

    Call it once the log is set up.
    """
    real = [name.upper() for name in Settings.model_fields]
    log = logging.getLogger("launchpad.settings")
    written = [*os.environ, *DotEnvSettingsSource(Settings).env_vars]
    for variable in dict.fromkeys(name.upper() for name in written):
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in real or name in _OWN_VARIABLES:
            continue
        near = difflib.get_close_matches(name, real, n=1)
        hint = (
            f"did you mean {_PREFIX}{near[0]}?" if near else "launchpad/settings.py has them all."
        )
        log.warning("%s is no setting and is ignored; %s", variable, hint)


_in_use: ContextVar[Settings | None] = ContextVar("launchpad_settings", default=None)


def get_settings() -> Settings:
    """The settings that hold here: the running server's, else the process's, read once."""
    return _in_use.get() or _process_settings()


def use_settings(settings: Settings) -> None:
    """Make `settings` hold in the calling task, and in the tasks that it starts."""
    _in_use.set(settings)


@lru_cache(maxsize=1)
def _process_settings() -> Settings:
    return load_settings()
