"""Whether somebody follows an agent's runs: then each begins where its node begins it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import asynccontextmanager
from operator import is_
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import pydantic_ai
from pydantic_ai import Agent
from pydantic_ai.run import AgentRun

from launchpad.models.agents.streaming_model import StreamingModel
from launchpad.models.private_names import private_name

__all__ = ["is_followed"]

_RUNS = frozenset({"run", "run_stream", "iter"})
_Start: Any = private_name("_agent_graph", "UserPromptNode")
_Request: Any = private_name("_agent_graph", "ModelRequestNode")
_Answered: Any = private_name("_agent_graph", "CallToolsNode")
_OWN = tuple(f"{Path(file).parent}{os.sep}" for file in (pydantic_ai.__file__, __file__))
"""Where the code of pydantic-ai's runs lies, and of our models."""
_MANAGED = cast("FunctionType", asynccontextmanager(cast("Any", None))).__code__
"""The code of each function that `asynccontextmanager` has made. contextlib makes others."""

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
    if not (vars(agent).keys().isdisjoint(_RUNS) and _is_untouched(type(agent))):
        return True
    try:
        _captured()
    except LookupError:
        return False
    return True


_untouched: Sequence[Any] = ()
"""The methods that were last found to be as they came."""


def _is_untouched(kind: type[Agent[Any, Any]]) -> bool:
    """Whether the methods that runs of a `kind` go through are as they came."""
    global _untouched  # noqa: PLW0603  what is the same as before is looked at once
    try:
        found = (
            kind.run,
            kind.run_stream,
            kind.iter,
            _Start.run,
            _Request.run,
            _Request.stream,
            _Answered.run,
            _Answered.stream,
            AgentRun.next,
            AgentRun.__anext__,
            # Tools look for the models' classes, too.
            StreamingModel.request,
            StreamingModel.request_stream,
        )
    except AttributeError:
        return False
    # The same, not equal: what a tool puts around a function may say that it equals it.
    if _untouched and all(map(is_, found, _untouched)):
        return True
    if not all(map(_is_own, found)):
        return False
    _untouched = found
    return True


def _is_own(method: Any) -> bool:
    """Whether a method is as it came: what is put around one has other code."""
    while type(method) is FunctionType and method.__code__ is _MANAGED:
        # `__wrapped__` may name another function than the one that is called.
        (method,) = (cell.cell_contents for cell in method.__closure__ or ())
    return type(method) is FunctionType and method.__code__.co_filename.startswith(_OWN)
