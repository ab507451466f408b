"""The scripted model's mind: a prompt in, the steps of an answer out. Pure and repeatable.

What it says, in this order of precedence:

1. the commands of the last user message (`launchpad.testing.directives`);
2. a tool call, where `tool_choice` demands one, or allows one and the message names the tool.
   Its arguments are the JSON object in the message that is valid for the tool's schema, or
   else an example generated from the schema;
3. JSON, where a response format asks for it: the valid object in the message, or an example;
4. after tool results: `NAME says: RESULT`;
5. otherwise the user's own words back. Choice 1 and up end in ` (choice 1)`.

A stop sequence ends the text before it; `max_tokens` bounds all that is sent, reasoning and
arguments included. Tokens are the pieces of `launchpad.testing.tokens`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from launchpad.testing import tokens
from launchpad.testing.directives import Directives, read_directives
from launchpad.testing.prompt import BadPromptError, Prompt, Tool
from launchpad.testing.schema_values import conforms, example
from launchpad.testing.steps import Chunk, Finish, Reasoning, Refusal, Step, ToolDelta

__all__ = ["TOKEN_STEPS", "Call", "answer", "is_token"]

Call: TypeAlias = tuple[str, str]
"""A tool's name and its arguments as JSON text."""

TOKEN_STEPS = (Chunk, Reasoning, Refusal, ToolDelta)
MOST_TRIED_OBJECTS = 64


def is_token(step: Step) -> bool:
    """Whether `step` sends a token that counts."""
    return isinstance(step, TOKEN_STEPS) and not (
        isinstance(step, ToolDelta) and not step.arguments
    )


def answer(prompt: Prompt, choice: int = 0, *, reply: str | None = None) -> list[Step]:
    """The steps of one choice: its tokens, each in a step of its own, and its `Finish`.

    `reply` replaces rule 5's text. Raises `BadPromptError` for what cannot be answered.
    """
    orders = read_directives(prompt.user_text)
    steps: list[Step] = [Reasoning(piece, choice) for piece in tokens.split(orders.reason or "")]
    calls = [] if orders.refuse is not None else _tool_calls(prompt, orders)
    if calls:
        steps += _call_steps(prompt, calls, choice)
    elif orders.refuse is not None:
        steps += [Refusal(piece, choice) for piece in tokens.split(orders.refuse)]
    else:
        text = _until_stop(_text(prompt, orders, choice, reply), prompt.stop)
        steps += [Chunk(piece, choice) for piece in tokens.split(text)]
    whole = _within_budget(steps, prompt.max_tokens)
    if len(whole) < len(steps):
        return [*whole, Finish("length", choice)]
    return [*whole, Finish("tool_calls" if calls else "stop", choice)]


def _text(prompt: Prompt, orders: Directives, choice: int, reply: str | None) -> str:
    if orders.say is not None:
        return orders.say
    if orders.words is not None:
        return tokens.words(orders.words, seed=(prompt.seed or 0) * 1009 + choice)
    if prompt.json:
        return _json_text(prompt, orders, reply)
    results = [said for said in prompt.since_user if said.role == "tool"]
    if results:
        text = "\n".join(f"{said.tool or 'The tool'} says: {said.text}" for said in results)
    else:
        text = orders.text if reply is None else reply
    return f"{text} (choice {choice})" if choice else text


def _json_text(prompt: Prompt, orders: Directives, reply: str | None) -> str:
    # "Any object" is a request for JSON mode, not for an empty object.
    schema = prompt.schema if prompt.schema != {"type": "object"} else None
    for value in _objects_in(orders.text if reply is None else reply):
        if schema is None or conforms(schema, value):
            return json.dumps(value, ensure_ascii=False)
    value = {"reply": orders.text} if schema is None else _example(schema, orders.text)
    return json.dumps(value, ensure_ascii=False)


def _tool_calls(prompt: Prompt, orders: Directives) -> list[Call]:
    """Which tools to call now, with what arguments."""
    tools = {tool.name: tool for tool in prompt.tools}
    if not tools or (prompt.tool_choice == "none" and prompt.named_tool is None):
        return []
    since_user = prompt.since_user
    done = {name for said in since_user for name in said.calls}
    forced = prompt.tool_choice == "required" or prompt.named_tool is not None
    if orders.calls and not done and prompt.named_tool is None:
        calls = [(name, arguments) for name, arguments in orders.calls if name in tools]
        if calls:
            return calls if prompt.parallel_tool_calls else calls[:1]
    if since_user and since_user[-1].role == "tool" and not forced:
        return []
    wanted = _wanted_tools(prompt, orders, tools, done, forced=forced)
    objects = list(_objects_in(orders.text))
    calls = [(tool.name, _arguments(tool, objects, orders.text)) for tool in wanted]
    return calls if prompt.parallel_tool_calls else calls[:1]


def _wanted_tools(
    prompt: Prompt, orders: Directives, tools: Mapping[str, Tool], done: set[str], *, forced: bool
) -> list[Tool]:
    if prompt.named_tool is not None:
        return [tools[prompt.named_tool]]
    fresh = [tool for tool in tools.values() if tool.name not in done]
    named = [tool for tool in fresh if tool.name in orders.text]
    if named or not forced:
        return named
    # Forced, and nothing named: a tool not called yet, so that an agent's loop comes to an end.
    return (fresh or list(tools.values()))[:1]


def _arguments(tool: Tool, objects: list[dict[str, Any]], text: str) -> str:
    for value in objects:
        if conforms(tool.parameters, value):
            objects.remove(value)
            return json.dumps(value, ensure_ascii=False)
    schema = {"type": "object", **tool.parameters}
    return json.dumps(_example(schema, text), ensure_ascii=False)


def _call_steps(prompt: Prompt, calls: Sequence[Call], choice: int) -> list[Step]:
    steps: list[Step] = []
    for index, (name, arguments) in enumerate(calls):
        source = f"{len(prompt.messages)}:{choice}:{index}:{name}:{arguments}"
        call_id = "call_" + hashlib.sha256(source.encode()).hexdigest()[:24]
        steps.append(ToolDelta(index, "", call_id, name, choice))
        steps += [ToolDelta(index, piece, choice=choice) for piece in tokens.split(arguments)]
    return steps


def _example(schema: Mapping[str, Any], text: str) -> Any:
    try:
        return example(schema, text)
    except ValueError as error:
        raise BadPromptError(f"The scripted model cannot answer: {error}") from error


def _until_stop(text: str, stop: Sequence[str]) -> str:
    ends = [text.find(word) for word in stop if word and word in text]
    return text[: min(ends)] if ends else text


def _within_budget(steps: list[Step], budget: int | None) -> list[Step]:
    if budget is None:
        return steps
    kept: list[Step] = []
    for step in steps:
        if budget == 0:
            break
        budget -= is_token(step)
        kept.append(step)
    return kept


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in `text`, outermost only."""
    decoder = json.JSONDecoder()
    position = text.find("{")
    for _ in range(MOST_TRIED_OBJECTS):
        if position < 0:
            return
        try:
            value, end = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            end = position + 1
        else:
            yield cast("dict[str, Any]", value)
        position = text.find("{", end)
