from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchpad.testing import tokens
from launchpad.testing.answers import answer, is_token
from launchpad.testing.book import ScriptBook
from launchpad.testing.prompt import BadPromptError, Prompt, Said, Tool
from launchpad.testing.steps import Chunk, Die, Done, Finish, Hang, Reasoning, ToolDelta, UsageStep


def text_of(prompt: Prompt, **options: Any) -> str:
    return "".join(step.text for step in answer(prompt, **options) if isinstance(step, Chunk))


def prompt(text: str, **options: Any) -> Prompt:
    return Prompt([Said("user", text)], **options)


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text
    assert tokens.count(text) == len(tokens.split(text))


@given(st.text().filter(lambda text: "!" not in text), st.integers(0, 40))
def test_the_budget_is_never_exceeded(text: str, budget: int) -> None:
    steps = answer(prompt(text, max_tokens=budget))
    sent = sum(map(is_token, steps))
    assert sent <= budget
    assert steps[-1] == Finish("length" if tokens.count(text) > budget else "stop")


@given(st.text(min_size=1), st.text(min_size=1, max_size=2))
def test_stop_sequences_never_show(text: str, stop: str) -> None:
    assert stop not in text_of(prompt(text, stop=[stop]))


def test_reasoning_counts_towards_the_budget() -> None:
    steps = answer(prompt("!reason one two\nthree four", max_tokens=3))
    assert steps == [Reasoning("one"), Reasoning(" two"), Chunk("three"), Finish("length")]


def test_called_tools_are_not_called_again_in_a_forced_loop() -> None:
    tools = [Tool("look"), Tool("final")]
    history = [Said("user", "look it up")]
    first = answer(Prompt(history, tools=tools, tool_choice="required"))
    assert isinstance(first[0], ToolDelta)
    assert first[0].name == "look"
    history += [Said("assistant", "", ("look",)), Said("tool", "found", tool="look")]
    second = answer(Prompt(history, tools=tools, tool_choice="required"))
    assert isinstance(second[0], ToolDelta)
    assert second[0].name == "final"
    assert text_of(Prompt(history, tools=tools)) == "look says: found"


def test_commands_call_tools_with_any_arguments() -> None:
    steps = answer(
        prompt('!call f {"a": 1\n!call g\n!call unknown {}', tools=[Tool("f"), Tool("g")])
    )
    calls = [step for step in steps if isinstance(step, ToolDelta)]
    names = [step.name for step in calls if step.name]
    assert names == ["f", "g"]
    arguments = "".join(step.arguments for step in calls if step.index == 0)
    assert arguments == '{"a": 1'


def test_json_in_the_message_must_fit_the_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    asked = prompt('{"a": "no"} {"a": 5}', json=True, schema=schema)
    assert json.loads(text_of(asked)) == {"a": 5}
    assert json.loads(text_of(prompt("none", json=True, schema=schema))) == {"a": 1}


def test_what_cannot_be_answered_is_said() -> None:
    impossible = {"type": "string", "pattern": "^[^ ]{77}$"}
    with pytest.raises(BadPromptError, match="cannot answer"):
        answer(prompt("x", json=True, schema=impossible))
    with pytest.raises(BadPromptError, match="number"):
        ScriptBook().steps_for(prompt("!words many"))


def test_book_completes_scripts_unless_they_end_themselves() -> None:
    book = ScriptBook()
    book.script(Chunk("a"), Chunk("b", choice=1))
    assert book.steps_for(prompt("two words"))[2:] == [
        Finish("stop", 0),
        Finish("stop", 1),
        UsageStep(2, 2),
        Done(),
    ]
    book.script(Chunk("a"), Die())
    assert book.steps_for(prompt(""))[-1] == Die()
    assert book.steps_for(prompt("!hang 1\none two")) == [Chunk("one"), Hang()]
