"""The model that stands in for every other: how tests swap models without touching the nodes."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai.models import Model

model_override: ContextVar[Model | None] = ContextVar("launchpad_model_override", default=None)
"""If set, `AgentConfig`s are built with this model and their provider, name and key are not read.

`launchpad.testing.override_model` sets it. It must be looked up per run, not per process.
"""
