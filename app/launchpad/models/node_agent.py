"""The agent that all runs of a node share. Apart, so that `agent.py` imports no pydantic-ai."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic_ai import Agent

from launchpad.errors import DefinitionError

__all__ = ["SharedAgent"]


class SharedAgent(Agent[Any, Any]):
    """Runs as any `Agent`, and refuses, with `DefinitionError`, what would stay in all later runs.

    pydantic-ai never forgets what is registered: one client's words would reach every later
    client's model, and the second run's tool would meet the first one's. What a run is given, and
    `override`, end with it and are left as they are.
    """

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


def _refuse(method: str, of_a_run: str, of_all: str | None) -> NoReturn:
    """Raise. `of_a_run` is a parameter of a run, `of_all` a field of `AgentConfig`."""
    everywhere = f", and what holds for all runs with {of_all} in get_agent_config()"
    raise DefinitionError(
        f"@agent.{method}: a node's agent is built once and shared by all runs, so this would stay "
        f"for every later one. Give a run its own with {of_a_run} in agent.run_stream() or "
        f"agent.run(){everywhere if of_all else ''}."
    )
