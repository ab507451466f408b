"""Whether somebody follows an agent's runs: then each begins where its node begins it."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pydantic_ai
from pydantic_ai import Agent

from launchpad.models.private_names import private_name

__all__ = ["is_followed"]

_RUNS = ("run", "run_stream", "iter")
_OWN = f"{Path(pydantic_ai.__file__).parent}{os.sep}"
"""Where the code of pydantic-ai's runs lies."""


@asynccontextmanager
async def _opened() -> AsyncGenerator[None]:
    yield


_OPENER: object = getattr(_opened, "__code__", None)
"""What `asynccontextmanager` puts around a function, as pydantic-ai has it around its own."""

_captured = private_name("_agent_graph", "get_captured_run_messages")


def is_followed(agent: Agent[Any, Any]) -> bool:
    """Whether somebody is told of the runs of `agent` that are made here.

    By traces, by `capture_run_messages`, by a capability, or by code that was put around
    pydantic-ai's own, as tools that watch applications do. pydantic-ai does not say so in public.
    Where it is not known, anybody may follow.
    """
    traced = agent.instrument
    if traced is None:
        # What `Agent.instrument_all` has set.
        traced = getattr(Agent, "_instrument_default", True)
    if traced or _captured is None or agent.root_capability.capabilities:
        return True
    kind = type(agent)
    for name in _RUNS:
        method = getattr(kind, name)
        # An object in a function's place may say that it equals the function, or have no hash.
        if type(method) is not FunctionType or not _is_own(method):
            return True
    try:
        _captured()
    except LookupError:
        return False
    return True


@lru_cache(maxsize=16)
def _is_own(function: FunctionType) -> bool:
    """Whether a method of pydantic-ai's is as it came: what is put around one has other code."""
    inner: object = function
    while type(inner) is FunctionType and inner.__code__ is _OPENER:
        # `__wrapped__` may name another function than the one that is called.
        inner = inspect.getclosurevars(inner).nonlocals.get("func")
    return type(inner) is FunctionType and inner.__code__.co_filename.startswith(_OWN)
