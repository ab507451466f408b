"""openai-python's tools: calls streamed and whole, the round trip, tool_choice, the helper."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from .asks import CLOCK, JOHN, WEATHER, Person, user


@pytest.mark.parametrize("stream", [False, True])
def test_tools_make_the_round_trip(client: OpenAI, stream: bool) -> None:
    """Two parallel calls, streamed as deltas; their results go back and are answered."""
    asked = user('!call get_weather {"city": "Paris"}\n!call get_time {}\nWhat now?')
    calls: dict[int, dict[str, str]] = {}
    if stream:
        reason = None
        for chunk in client.chat.completions.create(
            model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK], stream=True
        ):
            reason = chunk.choices[0].finish_reason or reason
            for piece in chunk.choices[0].delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                assert piece.function is not None
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    else:
        choice = client.chat.completions.create(
            model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK]
        ).choices[0]
        reason = choice.finish_reason
        for index, whole in enumerate(choice.message.tool_calls or []):
            assert whole.type == "function"
            calls[index] = {
                "id": whole.id,
                "name": whole.function.name,
                "arguments": whole.function.arguments,
            }
    assert reason == "tool_calls"
    assert [call["name"] for call in calls.values()] == ["get_weather", "get_time"]
    assert json.loads(calls[0]["arguments"]) == {"city": "Paris"}
    assert json.loads(calls[1]["arguments"]) == {}
    assert calls[0]["id"] != calls[1]["id"]
    asked += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for call in calls.values()
            ],
        },
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "sunny"},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": "noon"},
    ]
    answer = client.chat.completions.create(
        model="gpt-4o", messages=asked, tools=[WEATHER, CLOCK]
    ).choices[0]
    assert answer.message.content == "get_weather says: sunny\nget_time says: noon"
    assert answer.finish_reason == "stop"


def test_tool_choice_is_obeyed(client: OpenAI) -> None:
    def names(choice: Any, **more: Any) -> list[str]:
        message = (
            client.chat.completions.create(
                model="chat",
                messages=user("Hello"),
                tools=[WEATHER, CLOCK],
                tool_choice=choice,
                **more,
            )
            .choices[0]
            .message
        )
        return [c.function.name for c in message.tool_calls or [] if c.type == "function"]

    assert names("none") == []
    assert names("auto") == []
    assert len(names("required")) == 1
    assert names({"type": "function", "function": {"name": "get_time"}}) == ["get_time"]


def test_a_tool_call_cut_by_length(client: OpenAI) -> None:
    asked = user('!call get_weather {"city": "A city with quite a long name indeed"}')
    parameters: dict[str, Any] = {
        "model": "chat",
        "messages": asked,
        "tools": [WEATHER],
        "max_tokens": 3,
    }
    whole = client.chat.completions.create(**parameters).choices[0]
    assert whole.finish_reason == "length"
    assert whole.message.tool_calls is not None
    [call] = whole.message.tool_calls
    assert call.type == "function"
    streamed, reason = "", None
    for chunk in client.chat.completions.create(stream=True, **parameters):
        reason = chunk.choices[0].finish_reason or reason
        for piece in chunk.choices[0].delta.tool_calls or []:
            assert piece.function is not None
            streamed += piece.function.arguments or ""
    assert (streamed, reason) == (call.function.arguments, "length")


def test_stream_helper_with_tools(client: OpenAI) -> None:
    tools = [openai.pydantic_function_tool(Person, name="save_person")]
    with client.chat.completions.stream(
        model="gpt-4o", messages=user(f"save_person {JOHN}"), tools=tools
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.delta" in kinds
    assert "tool_calls.function.arguments.done" in kinds
    [call] = final.message.tool_calls or []
    assert call.function.parsed_arguments == Person(name="John Doe", age=30)
    assert final.finish_reason == "tool_calls"
