"""A node's agent is shared by all runs: what one run adds to it reaches no other."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic_ai import Agent, FunctionToolset, ModelRetry, TextOutput
from pydantic_ai.messages import PartEndEvent
from pydantic_ai.models.test import TestModel
from tests.core.conftest import config, upstream_now
from tests.core.flows import chat_flow

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import DefinitionError, NodeError
from launchpad.models.agents.agent import build_agent
from launchpad.models.loops import aclose_clients
from launchpad.testing import ScriptedModel, override_model, serve

pytestmark = pytest.mark.usefixtures("upstream")


class Asking(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions="Be brief.")


class Streaming(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(instructions="Be brief.")


def asked(user: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hello"}], "user": user}


def outputs_of(node: type[Node], *users: str) -> list[Any]:
    """The node's outputs, run after run on one loop, where the runs share the agent."""

    async def runs() -> list[Any]:
        workflow = chat_flow(node)
        return [(await workflow.run_async(asked(user))).get_output(node) for user in users]

    return asyncio.run(runs())


def told() -> list[str]:
    """The messages of each request that the upstream got."""
    return [json.dumps(request.body["messages"]) for request in upstream_now().requests]


def word() -> str:
    return "so"


REGISTERED: dict[str, tuple[Callable[[Agent[Any, Any]], Any], str]] = {
    "instructions": (lambda agent: agent.instructions(str), "instructions=…"),
    "instructions()": (lambda agent: agent.instructions(name="who"), "instructions=…"),
    "system_prompt": (lambda agent: agent.system_prompt(str), "instructions=…"),
    "system_prompt()": (lambda agent: agent.system_prompt(dynamic=True), "instructions=…"),
    "tool": (lambda agent: agent.tool(lambda _: "1"), "toolsets=[FunctionToolset([…])]"),
    "tool()": (lambda agent: agent.tool(retries=2), "toolsets=[FunctionToolset([…])]"),
    "tool_plain": (lambda agent: agent.tool_plain(str), "toolsets=[FunctionToolset([…])]"),
    "toolset": (lambda agent: agent.toolset(lambda _: None), "toolsets=[…]"),
    "output_validator": (lambda agent: agent.output_validator(str), "output_type=…"),
    "on_event": (lambda agent: agent.on_event(print), "event_stream_handler=…"),
}


@pytest.mark.parametrize("base", [Asking, Streaming])
@pytest.mark.parametrize("method", REGISTERED)
def test_what_would_stay_is_refused_with_what_to_do(method: str, base: type[Any]) -> None:
    register, remedy = REGISTERED[method]

    class Registers(base):
        async def process(self, task_context: TaskContext) -> Any:
            register(self.agent)

    with pytest.raises(NodeError) as caught:
        outputs_of(Registers, "alice")
    assert isinstance(caught.value.__cause__, DefinitionError)
    words = str(caught.value)
    assert words.startswith(f"Registers: @agent.{method.rstrip('()')}: ")
    assert "shared by all runs" in words
    assert remedy in words
    assert not upstream_now().requests


def test_each_way_to_register_on_an_agent_is_known() -> None:
    ways = {
        name
        for name, member in inspect.getmembers(Agent, inspect.isfunction)
        if not name.startswith("_") and "to register a" in (member.__doc__ or "")
    }
    assert ways == {method.rstrip("()") for method in REGISTERED}


def test_it_is_refused_where_a_node_is_made_too() -> None:
    class Made(Asking):
        def __init__(self) -> None:
            self.agent.tool_plain(str)

    with pytest.raises(NodeError, match=r"@agent\.tool_plain: .* tools=\[…\] in get_agent_config"):
        outputs_of(Made, "alice")


class Telling(Streaming):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        user = task_context.event.user

        @self.agent.system_prompt
        def who() -> str:
            return f"The customer is {user}."

        async with self.agent.run_stream("Hello") as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


def test_client_and_log_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with serve([type(chat_flow(Telling))]) as server:
        for user in ("alice", "bob"):
            answer = httpx.post(f"{server.base_url}/chat/completions", json=_body(user))
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "node_failed"
            assert answer.json()["error"]["message"] == "The node Telling failed."
    assert caplog.text.count("Telling: @agent.system_prompt: a node's agent is built once") >= 2
    assert not upstream_now().requests


def _body(user: str) -> dict[str, Any]:
    return {"model": "flow", **asked(user)}


class Instructed(Streaming):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        own = f"The customer is {task_context.event.user}."
        async with self.agent.run_stream("Hello", instructions=own) as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class InstructedQuietly(Asking):
    async def process(self, task_context: TaskContext) -> Any:
        own = f"The customer is {task_context.event.user}."
        self.save_output((await self.agent.run("Hello", instructions=own)).output)


@pytest.mark.parametrize("node", [Instructed, InstructedQuietly])
def test_a_runs_own_instructions_reach_its_request_alone(node: type[Node]) -> None:
    users = ("alice", "bob", "carol", "alice")
    outputs_of(node, *users)
    for user, messages in zip(users, told(), strict=True):
        assert "Be brief." in messages
        assert [one for one in sorted(set(users)) if one in messages] == [user]
    assert told()[0] == told()[-1]


def test_runs_at_once_keep_their_instructions_apart() -> None:
    users = [f"customer-{number:02}" for number in range(12)]

    async def runs() -> None:
        await asyncio.gather(*(chat_flow(Instructed).run_async(asked(user)) for user in users))

    asyncio.run(runs())
    known = [[user for user in users if user in messages] for messages in told()]
    assert sorted(known) == [[user] for user in users]


class Tooled(Asking):
    async def process(self, task_context: TaskContext) -> Any:
        user = task_context.event.user

        def whose() -> str:
            """Whose order it is."""
            return f"{user}'s"

        result = await self.agent.run("Hello", toolsets=[FunctionToolset([whose])])
        self.save_output(result.output)


def test_a_runs_own_tools_end_with_it() -> None:
    with override_model(TestModel()):
        outputs = outputs_of(Tooled, "alice", "bob")
    assert outputs == ['{"whose":"alice\'s"}', '{"whose":"bob\'s"}']


class Checked(Asking):
    async def process(self, task_context: TaskContext) -> Any:
        def check(text: str) -> str:
            if task_context.event.user not in text:
                raise ModelRetry("Say the customer's name.")
            return text.upper()

        result = await self.agent.run(task_context.event.user, output_type=TextOutput(check))
        self.save_output(result.output)


def test_a_runs_own_check_ends_with_it() -> None:
    assert outputs_of(Checked, "alice", "bob") == ["ALICE", "BOB"]


class Listening(Asking):
    async def process(self, task_context: TaskContext) -> Any:
        heard: list[str] = []

        async def listen(_: Any, events: Any) -> None:
            heard.extend(
                [event.part.content async for event in events if isinstance(event, PartEndEvent)]
            )

        await self.agent.run(task_context.event.user, event_stream_handler=listen)
        self.save_output(heard)


def test_a_runs_own_listener_hears_its_run() -> None:
    assert outputs_of(Listening, "alice", "bob") == [["alice"], ["bob"]]


def test_an_override_ends_with_its_context() -> None:
    class Overriding(Streaming):
        async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
            model = TestModel(custom_output_text=f"for {task_context.event.user}")
            own = f"The customer is {task_context.event.user}."
            with self.agent.override(model=model, instructions=own):
                async with self.agent.run_stream("Hello") as result:
                    async for chunk in self.stream_text_deltas(result):
                        yield chunk
            (parameters,) = [model.last_model_request_parameters]
            assert parameters is not None
            assert [part.content for part in parameters.instruction_parts or ()] == [own]

    assert outputs_of(Overriding, "alice", "bob") == ["for alice", "for bob"]


def test_an_agent_that_is_nobody_elses_takes_what_is_registered() -> None:
    class Own(Asking):
        async def process(self, task_context: TaskContext) -> Any:
            agent = Agent(ScriptedModel("Good day!"))
            agent.instructions(lambda: "Be kind.")
            agent.tool_plain(word)
            self.save_output((await agent.run("Hello")).output)

    assert outputs_of(Own, "alice", "bob") == ["Good day!", "Good day!"]


def test_only_the_agent_of_a_loop_is_shared() -> None:
    settings = config(instructions="Be brief.")
    alone = build_agent(settings, streaming=False, name="N")
    alone.tool_plain(word)
    assert alone is not build_agent(settings, streaming=False, name="N")

    async def shared() -> Agent[Any, Any]:
        agent = build_agent(settings, streaming=False, name="N")
        assert agent is build_agent(settings, streaming=False, name="N")
        await aclose_clients()
        return agent

    agent = asyncio.run(shared())
    assert isinstance(agent, Agent)
    with pytest.raises(DefinitionError, match=r"@agent\.tool_plain"):
        agent.tool_plain(word)
