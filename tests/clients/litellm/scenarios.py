# /// script
# requires-python = ">=3.11"
# dependencies = ["litellm==1.106.2", "mcp"]  # it imports mcp where tools are given
# ///
"""What LiteLLM's users do, run by `uv run --script` in an environment of its own.

It pins openai and other packages below what Launchpad needs, so they cannot share one.

    uv run --script scenarios.py '{"baseURL": "http://127.0.0.1:8080/v1", "lockedURL": "…"}'
"""

import asyncio
import json
import sys
import traceback
from typing import Any

import litellm
from pydantic import BaseModel

JOHN = '{"name": "John Doe", "age": 30}'
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def ask(facts: dict[str, str], messages: list[Any], **more: Any) -> Any:
    given = {"model": "openai/gpt-4o", "api_base": facts["baseURL"], "api_key": "any", **more}
    return litellm.completion(messages=messages, num_retries=0, max_retries=0, **given)


def answer(facts: dict[str, str]) -> Any:
    return ask(facts, user("one two three")).model_dump()


def stream(facts: dict[str, str]) -> Any:
    options = {"include_usage": True}
    chunks = list(ask(facts, user("one two three"), stream=True, stream_options=options))
    whole = litellm.stream_chunk_builder(chunks)
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    return {"deltas": deltas, "whole": whole.model_dump()}


def stream_async(facts: dict[str, str]) -> str:
    async def main() -> str:
        said = ""
        async for chunk in await litellm.acompletion(
            model="openai/gpt-4o",
            api_base=facts["baseURL"],
            api_key="any",
            messages=user("one two three"),
            stream=True,
        ):
            said += chunk.choices[0].delta.content or ""
        return said

    return asyncio.run(main())


def reasoning(facts: dict[str, str]) -> list[Any]:
    message = ask(facts, user("!reason let me think\n!say Fine.")).choices[0].message
    return [message.content, message.reasoning_content]


def tools(facts: dict[str, str]) -> dict[str, Any]:
    messages: list[Any] = user('!call get_weather {"city": "Paris"}\nThe weather?')
    choice = ask(facts, messages, tools=[WEATHER]).choices[0]
    [call] = choice.message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages += [choice.message, result]
    said = ask(facts, messages, tools=[WEATHER]).choices[0].message.content
    return {"reason": choice.finish_reason, "call": call.function.arguments, "said": said}


def streamed_tools(facts: dict[str, str]) -> Any:
    question = '!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}'
    chunks = list(ask(facts, user(question), tools=[WEATHER], stream=True))
    choice = litellm.stream_chunk_builder(chunks).choices[0]
    calls = [call.function.arguments for call in choice.message.tool_calls]
    return {"reason": choice.finish_reason, "calls": calls}


def structured(facts: dict[str, str]) -> Any:
    got = ask(facts, user(f"This is {JOHN}."), response_format=Person)
    return Person.model_validate_json(got.choices[0].message.content).model_dump()


def errors(facts: dict[str, str]) -> dict[str, str]:
    told: dict[str, str] = {}
    asked: dict[str, dict[str, Any]] = {
        "missing": {"messages": user("Hi"), "model": "openai/gpt-9"},
        "limited": {"messages": user("!status 429")},
        "key": {"messages": user("Hi"), "api_base": facts["lockedURL"]},
    }
    for name, request in asked.items():
        try:
            ask(facts, **request)
        except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
            told[name] = type(error).__name__
    return told


def main() -> None:
    facts = json.loads(sys.argv[1])
    results: dict[str, dict[str, Any]] = {}
    for scenario in (
        *(answer, stream, stream_async, reasoning),
        *(tools, streamed_tools, structured, errors),
    ):
        try:
            results[scenario.__name__] = {"value": scenario(facts)}
        except Exception:  # noqa: BLE001 - handed to the test
            results[scenario.__name__] = {"error": traceback.format_exc()}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
