"""The agents of nodes, shared by all runs or not. Apart: `agent.py` imports no pydantic-ai."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, NoReturn

from pydantic_ai import Agent

from launchpad.errors import DefinitionError
from launchpad.models.agents.late_run import LateRun
from launchpad.models.agents.lean_runs import is_lean_run, lean_agent, may_run_lean
from launchpad.models.agents.questions import Questions
from launchpad.models.agents.streamed_run import StreamedRun
from launchpad.models.agents.streaming_model import StreamingModel

__all__ = ["NodeAgent", "SharedAgent"]


class NodeAgent(Agent[Any, Any]):
    """Runs as any `Agent`; its streamed runs end in the task that began them (`StreamedRun`)."""

    def run_stream(self, *prompt: Any, **given: Any) -> Any:
        """As `Agent.run_stream`."""
        return StreamedRun(self._run_stream_for, prompt, given)

    def _run_stream_for(self, _given: Mapping[str, Any]) -> Callable[..., Any]:
        return super().run_stream


class SharedAgent(NodeAgent):
    """Runs as any `Agent`, and refuses, with `DefinitionError`, what would stay in all later runs.

    pydantic-ai never forgets what is registered: one client's words would reach every later
    client's model, and the second run's tool would meet the first one's. What a run is given, and
    `override`, end with it and are left as they are.

    `run` and `run_stream` that are given only data are a twin's, without what pydantic-ai adds to
    every agent (`lean_runs`).
    """

    _lean: Agent[Any, Any] | None = None
    _questions: Questions | None = None
    _is_built = False

    def __init__(self, model: Any, *, instrument: Any, **arguments: Any) -> None:
        super().__init__(model, **arguments)
        if may_run_lean(arguments):
            self._lean = lean_agent({"model": model, **arguments})
            if isinstance(model, StreamingModel):
                self._questions = Questions(self._lean, model)
        # Where there is none, a tool that watches agents may have set its own.
        if instrument is not None:
            self.instrument = instrument
            if self._lean is not None:
                self._lean.instrument = instrument
        self._is_built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_built and not name.startswith("_"):
            _refuse_to_keep(name)
        super().__setattr__(name, value)

    async def run(self, *prompt: Any, **given: Any) -> Any:
        """As `Agent.run`."""
        lean = self._lean_for(given)
        if lean is not None:
            return await lean.run(*prompt, **given)
        return await super().run(*prompt, **given)

    def run_sync(self, *prompt: Any, **given: Any) -> Any:
        """As `Agent.run_sync`. Raises `DefinitionError` on a running loop, which it would stop."""
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise DefinitionError(
                "agent.run_sync(…) cannot run in an async process; write await agent.run(…)."
            )
        return super().run_sync(*prompt, **given)

    def _run_stream_for(self, given: Mapping[str, Any]) -> Callable[..., Any]:
        lean = self._lean_for(given)
        if lean is None:
            return super()._run_stream_for(given)
        questions = self._questions
        return lean.run_stream if questions is None else partial(LateRun, questions)

    def _lean_for(self, given: Mapping[str, Any]) -> Agent[Any, Any] | None:
        return None if _overridden.get() or not is_lean_run(given) else self._lean

    @contextmanager
    def override(self, **given: Any) -> Generator[None]:
        """As `Agent.override`."""
        token = _overridden.set(True)
        try:
            with super().override(**given):
                yield
        finally:
            _overridden.reset(token)

    def instructions(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own."""
        _refuse("instructions", "instructions=…", "instructions=…")

    def system_prompt(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own, as instructions."""
        _refuse("system_prompt", "instructions=…", "system_prompt=…")

    def tool(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own, in a toolset."""
        _refuse("tool", "toolsets=[FunctionToolset([…])]", "tools=[…]")

    def tool_plain(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own, in a toolset."""
        _refuse("tool_plain", "toolsets=[FunctionToolset([…])]", "tools=[…]")

    def toolset(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own."""
        _refuse("toolset", "toolsets=[…]", "tools=[…]")

    def output_validator(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; an output type has its own validators, and an output function may check."""
        checking = "output_type=… (a type or function that checks)"
        _refuse("output_validator", checking, "output_type=…")

    def on_event(self, *_: Any, **__: Any) -> NoReturn:
        """Refused; a run takes its own listener."""
        _refuse("on_event", "event_stream_handler=…", None)


_overridden: ContextVar[bool] = ContextVar("launchpad.overridden_agents", default=False)
"""Some shared agent is overridden here, and its lean twin knows nothing of it."""


def _refuse_to_keep(name: str) -> NoReturn:
    raise DefinitionError(
        f"agent.{name} = …: {_WHY} Give a run its own with a parameter of agent.run_stream() or "
        f"agent.run(), and what holds for all runs in get_agent_config()."
    )


_WHY = (
    "a node's agent is built once and shared by all runs, so this would stay for every later one."
)


def _refuse(method: str, of_a_run: str, of_all: str | None) -> NoReturn:
    """Raise. `of_a_run` is a parameter of a run, `of_all` a field of `AgentConfig`."""
    everywhere = f", and what holds for all runs with {of_all} in get_agent_config()"
    raise DefinitionError(
        f"@agent.{method}: {_WHY} Give a run its own with {of_a_run} in agent.run_stream() or "
        f"agent.run(){everywhere if of_all else ''}."
    )
