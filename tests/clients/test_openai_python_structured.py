"""openai-python's structured output: `parse`, the `.stream()` helper, response_format."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from .asks import JOHN, JOHN_SCHEMA, Person, user


def test_parse(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="John Doe", age=30)
    tools = [openai.pydantic_function_tool(Person, name="save_person")]
    answer = client.chat.completions.parse(
        model="gpt-4o", messages=user(f"save_person {JOHN}"), tools=tools
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Person(name="John Doe", age=30)


def test_stream_helper_parses_as_it_goes(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=Person
    ) as stream:
        seen = [event.parsed for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="John Doe", age=30)
    assert len([value for value in seen if value]) > 1


@pytest.mark.parametrize("schema", [{"type": "json_object"}, JOHN_SCHEMA])
def test_json_formats_stream_as_fragments(client: OpenAI, schema: Any) -> None:
    chunks = client.chat.completions.create(
        model="gpt-4o", messages=user(f"This is {JOHN}."), response_format=schema, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert json.loads("".join(pieces)) == {"name": "John Doe", "age": 30}
    assert len(pieces) > 4
