"""Runs without what pydantic-ai adds to every agent: the same to see, and only where it is safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    FunctionToolset,
    NativeOutput,
    PromptedOutput,
    RunContext,
    TextOutput,
    Tool,
    ToolOutput,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RunUsage, UsageLimits

from launchpad.errors import DefinitionError
from launchpad.models.agents.agent import build_agent
from launchpad.models.agents.lean_runs import UNNEEDED, lean_agent
from launchpad.models.config import AgentConfig
from launchpad.models.loops import aclose_clients
from launchpad.testing import override_model


class Person(BaseModel):
    name: str = "Ann"


class Watched(WrapperModel):
    """Notes the capabilities of each run that asks it."""

    def __init__(self, model: Any = None) -> None:
        super().__init__(model or TestModel(custom_output_text="Good day!"))
        self.seen: list[set[str]] = []

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: Any,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        assert run_context is not None
        root: Any = run_context.root_capability
        self.seen.append({type(one).__name__ for one in root.capabilities})
        async with self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as response:
            yield response


def with_agent(use: Callable[[Agent[Any, Any]], Awaitable[Any]], model: Any, **config: Any) -> Any:
    """What `use` returns of a node's shared agent."""

    async def main() -> Any:
        try:
            return await use(build_agent(AgentConfig(**config), streaming=True, name="Node"))
        finally:
            await aclose_clients()

    with override_model(model):
        return asyncio.run(main())


def seen(config: Mapping[str, Any], **given: Any) -> set[str]:
    """The capabilities of a run that is given these parameters, when it asks its model."""

    async def run(agent: Agent[Any, Any]) -> None:
        with pytest.raises(LookupError):
            await agent.run_stream("Hello", **given).__aenter__()

    async def fail(*_: Any) -> AsyncIterator[str]:
        raise LookupError
        yield ""

    model = Watched(FunctionModel(stream_function=fail))
    with_agent(run, model, **config)
    return model.seen[0]


def test_these_are_what_pydantic_ai_adds() -> None:
    # An upgrade that adds another, or renames one, is to be looked at: can a run do without it?
    assert {type(one).__name__ for one in Agent().root_capability.capabilities} == UNNEEDED
    assert not lean_agent({"model": TestModel()}).root_capability.capabilities


DATA: dict[str, dict[str, Any]] = {
    "nothing": {},
    "history": {"message_history": [ModelRequest(parts=[UserPromptPart("Hi")])]},
    "deps": {"deps": object()},
    "settings": {"model_settings": {"temperature": 0.5}},
    "instructions": {"instructions": "Be brief."},
    "several instructions": {"instructions": ["Be brief.", "Be kind."]},
    "metadata": {"metadata": {"a": 1}},
    "limits": {"usage_limits": UsageLimits(request_limit=3), "usage": RunUsage()},
    "ids": {"run_id": "r", "conversation_id": "c"},
    "time": {"timeout": 30.0, "retries": 2},
    "type": {"output_type": str},
    "no function": {"toolsets": None, "capabilities": None, "model": None},
}


@pytest.mark.parametrize("given", DATA)
def test_a_run_of_data_has_none(given: str) -> None:
    assert seen({}, **DATA[given]) == set()


async def ask(_: RunContext[Any]) -> str:
    return "Be brief."


def shout(text: str) -> str:
    return text.upper()


class Heard(AbstractCapability[Any]):
    pass


CODE: dict[str, dict[str, Any]] = {
    "instructions": {"instructions": ask},
    "instructions among others": {"instructions": ["Be brief.", ask]},
    "toolset": {"toolsets": [FunctionToolset([shout])]},
    "no toolset": {"toolsets": []},
    "capability": {"capabilities": [Heard()]},
    "settings": {"model_settings": lambda _: {"temperature": 0.5}},
    "metadata": {"metadata": lambda _: {"a": 1}},
    "text output": {"output_type": TextOutput(shout)},
    "outputs": {"output_type": [str, shout]},
    "tool output": {"output_type": [ToolOutput(shout), str]},
}


@pytest.mark.parametrize("given", CODE)
def test_a_run_of_code_has_all(given: str) -> None:
    assert seen({}, **CODE[given]) >= UNNEEDED


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"instructions": "Be brief.", "system_prompt": ["You help."]}, set()),
        ({"model_settings": {"temperature": 0.5}, "retries": 2, "deps_type": int}, set()),
        ({"output_type": NativeOutput(Person)}, set()),
        ({"output_type": PromptedOutput([Person, str])}, set()),
        ({"output_type": [Person, shout]}, UNNEEDED),
        ({"output_type": TextOutput(shout)}, UNNEEDED),
        ({"tools": [Tool(shout)]}, UNNEEDED),
    ],
)
def test_an_agent_of_code_has_all(config: dict[str, Any], expected: set[str]) -> None:
    assert seen(config) == expected


def test_a_model_of_the_runs_own_is_code() -> None:
    own = Watched()

    async def run(agent: Agent[Any, Any]) -> Any:
        return (await agent.run("Hello", model=own, event_stream_handler=_read)).output

    assert with_agent(run, TestModel()) == "Good day!"
    assert own.seen == [set(UNNEEDED)]


async def _read(_: RunContext[Any], events: Any) -> None:
    async for _event in events:
        pass


def test_an_override_reaches_a_run_of_data() -> None:
    other = Watched()

    async def run(agent: Agent[Any, Any]) -> list[Any]:
        with agent.override(model=other, instructions="Be kind."):
            overridden = await agent.run("Hello", event_stream_handler=None)
            async with agent.run_stream("Hello") as streamed:
                text = await streamed.get_output()
        return [overridden.output, text, (await agent.run("Hello")).output]

    assert with_agent(run, TestModel(custom_output_text="own")) == ["Good day!", "Good day!", "own"]
    assert other.seen == [set(UNNEEDED)]


def test_an_override_of_one_task_is_not_anothers() -> None:
    async def run(agent: Agent[Any, Any]) -> list[Any]:
        async def overridden() -> Any:
            with agent.override(model=TestModel(custom_output_text="other")):
                await asyncio.sleep(0)
                return (await agent.run("Hello")).output

        async def plain() -> Any:
            return (await agent.run("Hello")).output

        return list(await asyncio.gather(overridden(), plain(), overridden(), plain()))

    said = TestModel(custom_output_text="own")
    assert with_agent(run, said) == ["other", "own", "other", "own"]


def test_a_deferred_tool_of_a_run_is_offered_as_ever() -> None:
    offered: list[ModelRequestParameters] = []

    async def say(_: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        offered.append(info.model_request_parameters)
        yield "done"

    async def run(agent: Agent[Any, Any]) -> None:
        hidden = FunctionToolset([Tool(shout, defer_loading=True)])
        async with agent.run_stream("Hello", toolsets=[hidden]) as result:
            await result.get_output()

    model = FunctionModel(stream_function=say)
    with_agent(run, model)
    asyncio.run(run(Agent(model)))
    assert [list(one.tool_visibility.values()) for one in offered] == [["withheld"]] * 2
    assert offered[0].native_tools == offered[1].native_tools


def test_what_a_run_queues_reaches_its_model() -> None:
    asked: list[str] = []

    async def say(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str]:
        asked.append(str(messages))
        yield "done"

    def queue(run: RunContext[Any]) -> str:
        if run.run_step == 1:
            run.enqueue("And this.")
        return "Be brief."

    async def run(agent: Agent[Any, Any]) -> None:
        await agent.run("Hello", instructions=queue, event_stream_handler=_read)

    with_agent(run, FunctionModel(stream_function=say))
    assert "And this." in asked[-1]


@pytest.mark.parametrize("wanted", [str, Person, NativeOutput(Person)])
def test_both_runs_say_the_same(wanted: Any) -> None:
    """Messages, requests and counts, but for what names a moment or a run."""
    requests: list[Any] = []

    async def say(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        parameters = info.model_request_parameters
        requests.append((len(messages), parameters.output_mode, parameters.output_object))
        requests.append((info.instructions, parameters.function_tools, info.model_settings))
        for word in ('{"na', 'me": "B', 'o"}'):
            yield word

    async def run(agent: Agent[Any, Any]) -> Any:
        async with agent.run_stream(
            "Hello", message_history=[ModelRequest(parts=[UserPromptPart("Hi")])]
        ) as result:
            output = await result.get_output()
        return output, result.usage, [_told(one) for one in result.new_messages()]

    model = FunctionModel(stream_function=say, profile={"supports_json_schema_output": True})
    config = {"output_type": wanted, "instructions": "Be brief."}
    lean = with_agent(run, model, **config)
    full = with_agent(run, model, **config, tools=[Tool(shout, prepare=_none)])
    assert lean == full
    half = len(requests) // 2
    assert requests[:half] == requests[half:]


async def _none(_: RunContext[Any], __: Any) -> None:
    return None


def _told(message: ModelMessage) -> Any:
    return [(type(part).__name__, getattr(part, "content", None)) for part in message.parts]


@pytest.mark.parametrize("name", ["model_settings", "model", "name", "instrument", "anything"])
def test_what_is_set_on_a_shared_agent_is_refused(name: str) -> None:
    async def run(agent: Agent[Any, Any]) -> None:
        with pytest.raises(DefinitionError, match=rf"agent\.{name} = …: .* shared by all runs"):
            setattr(agent, name, None)

    with_agent(run, TestModel())


def test_an_override_counts_from_where_the_run_is_entered() -> None:
    async def run(agent: Agent[Any, Any]) -> list[str]:
        said: list[str] = []
        asked = agent.run_stream("Hello")
        with agent.override(model=TestModel(custom_output_text="other")):
            async with asked as result:
                said.append(await result.get_output())
            asked = agent.run_stream("Hello")
        async with asked as result:
            said.append(await result.get_output())
        return said

    assert with_agent(run, TestModel(custom_output_text="own")) == ["other", "own"]


def test_after_an_override_a_run_of_data_has_none_again() -> None:
    async def run(agent: Agent[Any, Any]) -> None:
        with agent.override(instructions="Be kind."):
            pass
        async with agent.run_stream("Hello") as result:
            await result.get_output()

    model = Watched()
    with_agent(run, model)
    assert model.seen == [set()]


def test_who_holds_the_context_finds_the_nodes_agent_and_cannot_register_on_it() -> None:
    found: list[Any] = []

    async def run(agent: Agent[Any, Any]) -> Agent[Any, Any]:
        async def listen(run: RunContext[Any], events: Any) -> None:
            found.append(run.agent)
            await _read(run, events)

        async with agent.iter("Hello") as walked:
            found.append(walked.ctx.deps.agent)
            async for _node in walked:
                pass
        await agent.run("Hello", event_stream_handler=listen)
        async with agent.run_stream("Hello", event_stream_handler=listen) as result:
            await result.get_output()
        with pytest.raises(DefinitionError):
            found[-1].instructions(ask)
        return agent

    agent = with_agent(run, TestModel())
    assert len(found) >= 3
    assert all(one is agent for one in found)


def test_a_run_has_what_its_agent_was_given() -> None:
    asked: list[Any] = []

    async def say(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(info.model_settings)
        return ModelResponse([TextPart("not a person")])

    async def run(agent: Agent[Any, Any]) -> None:
        with pytest.raises(UnexpectedModelBehavior, match="retries"):
            await agent.run("Hello")

    model = FunctionModel(say)
    settings = {"temperature": 0.25}
    with_agent(run, model, output_type=PromptedOutput(Person), retries=2, model_settings=settings)
    assert asked == [settings] * 3


def test_an_agent_without_a_name_takes_one() -> None:
    async def main() -> str | None:
        try:
            agent = build_agent(AgentConfig(), streaming=True)
            await agent.run("Hello", event_stream_handler=_read)
        finally:
            await aclose_clients()
        return agent.name

    with override_model(TestModel()):
        assert asyncio.run(main()) == "agent"


def test_a_shared_agent_can_be_entered() -> None:
    async def run(agent: Agent[Any, Any]) -> Any:
        async with agent:
            return (await agent.run("Hello")).output

    assert with_agent(run, TestModel(custom_output_text="own")) == "own"
