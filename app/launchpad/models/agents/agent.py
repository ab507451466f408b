"""`AgentConfig` to pydantic-ai `Agent`, built once: building one costs milliseconds."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from launchpad.models.config import AgentConfig, check_parts, instructions_of, is_model_type
from launchpad.models.loops import Memo, loop_scope
from launchpad.models.override import model_override
from launchpad.models.provider import build_model, model_settings_key, resolve
from launchpad.observe.tracing import instrumentation
from launchpad.settings import Settings, get_settings

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.models import Model

__all__ = ["build_agent", "structured_output"]

_AGENTS = "agents"


def build_agent(
    config: AgentConfig,
    *,
    streaming: bool,
    name: str | None = None,
    settings: Settings | None = None,
    allow_client_form: bool = False,
    holder: object = None,
) -> Agent[Any, Any]:
    """The agent for `config`: the same one for equal arguments on one event loop.

    That one refuses to have anything registered on it (`SharedAgent`). One that is built without a
    loop is the caller's own, and so is one with tools or instructions of the `holder`'s: its
    methods, or functions that are made with its config. To keep it would keep all that such a run
    had. `streaming` wraps its model in `StreamingModel`; `allow_client_form` is that one's. Raises
    `ConfigurationError`.
    """
    settings = settings or get_settings()
    instrument = instrumentation()
    form = allow_client_form

    def build(*, shared: bool) -> Agent[Any, Any]:
        check_parts(config)
        resolved = resolve(config, settings)
        model = build_model(resolved, settings)
        arguments = _arguments(resolved, model, streaming=streaming, name=name, form=form)
        return _agent(arguments, instrument, shared=shared)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return build(shared=False)
    if any(_is_of_a_run(tool, holder) for tool in config.tools):
        return build(shared=False)
    text = config.instructions
    if not (text is None or isinstance(text, str)) and any(
        _is_of_a_run(one, holder) for one in instructions_of(config)
    ):
        return build(shared=False)
    memo: Memo[Agent[Any, Any]] = loop_scope().memo(_AGENTS)
    # The kept agent holds the model that stands in, so its id names no other one.
    override = id(model_override.get())
    traced = instrument is not None
    key = (config, streaming, name, form, traced, override, *model_settings_key(settings))
    return memo.get(key, partial(build, shared=True))


def _is_of_a_run(tool: Any, holder: object) -> bool:
    function = getattr(tool, "function", tool)  # a pydantic-ai Tool's
    while isinstance(function, partial):
        function = function.func
    if inspect.ismethod(function):
        return function.__self__ is holder
    return ".get_agent_config.<locals>." in getattr(function, "__qualname__", "")


def _agent(arguments: dict[str, Any], instrument: Any, *, shared: bool) -> Agent[Any, Any]:
    from launchpad.models.agents.node_agent import NodeAgent, SharedAgent  # not for the start-up

    if shared:
        return SharedAgent(**arguments, instrument=instrument)
    agent = NodeAgent(**arguments)
    if instrument is not None:  # else what a tool may have set
        agent.instrument = instrument
    return agent


def _arguments(
    config: AgentConfig, model: Model, *, streaming: bool, name: str | None, form: bool
) -> dict[str, Any]:
    """What pydantic-ai's `Agent` is made of."""
    output = structured_output(config, model)
    if streaming:
        from launchpad.models.agents.streaming_model import StreamingModel

        model = StreamingModel(model, allow_client_form=form)
    else:
        from launchpad.models.agents.counting import CountingModel

        model = CountingModel(model)
    return {
        "model": model,
        "output_type": output,
        "instructions": instructions_of(config),
        "tools": config.tools,
        "deps_type": config.deps_type,
        "model_settings": _plain(config.model_settings),
        "retries": config.retries,
        # One that has none infers it from the caller's variables, and keeps it.
        "name": config.name or name or "agent",
    }


def structured_output(config: AgentConfig, model: Model) -> Any:
    """The agent's output type: native JSON schema where the model has it and nothing else is said.

    pydantic-ai's own default, a tool call, gives compatible servers one late snapshot. Explicit
    `NativeOutput`, `ToolOutput` and `PromptedOutput`, text, and what is no single type stay as
    they are.
    """
    wanted = config.output_type
    if wanted is str or not is_model_type(wanted):
        return wanted
    if not _supports_schema(model):
        return wanted
    from pydantic_ai import NativeOutput

    return NativeOutput(wanted)


def _supports_schema(model: Model) -> bool:
    candidates: list[Model] | None = getattr(model, "models", None)  # a FallbackModel's
    if candidates is not None:
        return all(map(_supports_schema, candidates))
    try:
        return bool(model.profile.get("supports_json_schema_output", False))
    except NotImplementedError:
        # A FallbackModel has no profile of its own.
        return False


def _plain(settings: Any) -> dict[str, Any] | None:
    return dict(settings) if settings is not None else None
