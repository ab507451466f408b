from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, PromptedOutput
from pydantic_ai.exceptions import ContentFilterError, ModelAPIError, ModelHTTPError
from pydantic_ai.models.fallback import FallbackModel

from launchpad.testing import Gate, ScriptedModel
from launchpad.testing.steps import (
    Chunk,
    Die,
    ErrorEvent,
    Finish,
    HugeEvent,
    Raw,
    Repeat,
    Status,
    UsageStep,
    WaitFor,
)

T = TypeVar("T")


class City(BaseModel):
    name: str
    people: int


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def deltas(agent: Agent[None, Any], text: str) -> list[str]:
    async with agent.run_stream(text) as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


def test_says_the_users_words_back_and_counts_them() -> None:
    result = run(Agent(ScriptedModel()).run("one two three"))
    assert result.output == "one two three"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 3)


def test_streams_token_by_token_with_a_gate() -> None:
    model, gate = ScriptedModel(), Gate()
    model.script(Chunk("one"), WaitFor(gate), Chunk("two"), UsageStep(7, 8), Finish("length"))

    async def main() -> None:
        async with Agent(model).run_stream("x") as result:
            words = result.stream_text(delta=True, debounce_by=None)
            assert await anext(words) == "one"
            assert not gate.is_open
            gate.open()
            assert [word async for word in words] == ["two"]
            assert result.usage.output_tokens == 8
            assert result.response.finish_reason == "length"

    run(main())
    assert gate.reached == 1


def test_settings_are_obeyed() -> None:
    agent = Agent(ScriptedModel("one two three"))
    assert run(agent.run("x", model_settings={"max_tokens": 2})).output == "one two"
    assert run(agent.run("x", model_settings={"stop_sequences": ["two"]})).output == "one "


@pytest.mark.parametrize("output", [City, NativeOutput(City), PromptedOutput(City)])
def test_structured_output_in_every_mode(output: Any) -> None:
    agent: Agent[None, City] = Agent(ScriptedModel(), output_type=output)
    assert run(agent.run('It is {"name": "Rome", "people": 3}')).output == City(
        name="Rome", people=3
    )
    assert run(agent.run("Rome")).output == City(name="Rome", people=1)


def test_tools_are_called_when_named_and_their_results_said() -> None:
    agent = Agent(ScriptedModel())

    @agent.tool_plain
    def get_weather(city: str) -> str:
        return f"sunny in {city}"

    result = run(agent.run('get_weather {"city": "Rome"}'))
    assert result.output == "get_weather says: sunny in Rome"
    assert run(agent.run("hello")).output == "hello"


def test_tools_and_output_tool_come_to_an_end() -> None:
    model = ScriptedModel()
    agent = Agent(model, output_type=City)

    @agent.tool_plain
    def look_up(name: str) -> int:
        return len(name)

    assert run(agent.run('look_up {"name": "Rome"}')).output.people == 1
    assert [tool.name for tool in model.prompts[0].tools] == ["look_up", "final_result"]


def test_history_instructions_and_images_reach_the_prompt() -> None:
    model = ScriptedModel()
    agent = Agent(model, instructions="Be kind.")

    async def main() -> None:
        first = await agent.run("one")
        picture = BinaryContent(b"png", media_type="image/png")
        await agent.run(["two", picture], message_history=first.all_messages())

    run(main())
    said = [(message.role, message.text) for message in model.prompts[1].messages]
    assert said == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "one"),
        ("user", "two\n[image]"),
    ]


def test_reasoning_and_refusal() -> None:
    agent = Agent(ScriptedModel())
    result = run(agent.run("!reason let me see\nhello"))
    assert result.response.thinking == "let me see"
    assert result.output == "hello"
    with pytest.raises(ContentFilterError):
        run(agent.run("!refuse no"))


def test_faults_are_pydantic_ais_errors() -> None:
    model = ScriptedModel()
    agent = Agent(model)
    model.script(Status(429, {"Retry-After": "3"}))
    with pytest.raises(ModelHTTPError) as caught:
        run(agent.run("x"))
    assert caught.value.status_code == 429
    for fault in (Die(), ErrorEvent("Broken.")):
        model.script(Chunk("a"), fault)
        with pytest.raises(ModelAPIError):
            run(deltas(agent, "x"))
    model.script(Raw(b"x"))
    with pytest.raises(TypeError, match="needs a wire"):
        run(agent.run("x"))


def test_a_fault_before_the_first_token_lets_a_fallback_act() -> None:
    broken = ScriptedModel()
    broken.script_all(Status(503))
    agent = Agent(FallbackModel(broken, ScriptedModel("rescued")))
    assert run(deltas(agent, "x")) == ["rescue", "d"]


def test_endless_and_huge_answers() -> None:
    model = ScriptedModel()
    model.script(Repeat("{i} "))

    async def main() -> list[str]:
        async with Agent(model).run_stream("x") as result:
            words = result.stream_text(delta=True, debounce_by=None)
            return [await anext(words) for _ in range(100)]

    assert run(main()) == [f"{i} " for i in range(100)]
    model.script(HugeEvent(1000), Repeat("b", 2))
    assert run(Agent(model).run("x")).output == "x" * 1000 + "bb"
