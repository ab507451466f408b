"""Document 003's three clients of `valid_json_chunks`, with its elided messages filled in.

Their model names, `gpt-4o` and `gpt-4.1`, are aliases here (LAUNCHPAD_MODEL_ALIASES).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from itertools import pairwise
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from launchpad.settings import Settings
from launchpad.testing.server import Server

from .conftest import KEY
from .programs import absent

USER = {"name": "John Doe", "age": 30, "email": "john.doe@example.com"}
VALID_JSON: Any = {"valid_json_chunks": True}
# The pause between the scripted model's tokens keeps them in chunks of their own.
EXTRACT = f"!pace 0.005\nExtract the user: {json.dumps(USER)}"
MESSAGES: list[Any] = [{"role": "user", "content": EXTRACT}]
USER_SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "user",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "age": {"type": "integer"},
                "email": {"type": "string"},
            },
            "required": ["name", "age", "email"],
            "additionalProperties": False,
        },
    },
}


def grows(snapshots: list[Any]) -> None:
    """What is shown stays, and strings extend."""
    for before, after in pairwise(snapshots):
        for name, value in before.items():
            assert after[name] == value or str(after[name]).startswith(str(value))


def test_aliases_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHPAD_MODEL_ALIASES", "gpt-4o=chat, gpt-4.1=chat")
    assert Settings(_env_file=None).model_aliases == {"gpt-4o": "chat", "gpt-4.1": "chat"}


def test_the_first_loops(server: Server) -> None:
    client = OpenAI(base_url=server.base_url, api_key="wai--***")
    with client:
        stream = client.chat.completions.create(
            model="gpt-4.1",
            messages=[
                {
                    "role": "user",
                    "content": "Say 'double bubble bath' ten times fast.",
                },
            ],
            stream=True,
        )
        said = ""
        for chunk in stream:
            if chunk.choices[0].delta.content is not None:
                said += chunk.choices[0].delta.content
    assert said == "Say 'double bubble bath' ten times fast."


@pytest.mark.parametrize("response_format", [{"type": "json_object"}, USER_SCHEMA])
def test_the_python_loop(server: Server, response_format: Any) -> None:
    seen: list[Any] = []

    async def main() -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="wai--***") as openai_client:
            streamer: Any = await openai_client.chat.completions.create(
                model="gpt-4o",
                metadata={"agent_id": "my-agent"},
                messages=MESSAGES,
                stream=True,
                stream_options=VALID_JSON,
                response_format=response_format,
            )
            async for chunk in streamer:
                seen.append(json.loads(chunk.choices[0].delta.content))  # noqa: PERF401 - as it stands

    asyncio.run(main())
    assert seen[-1] == USER
    # The finish chunk repeats the last object; no other does.
    assert seen[-2] == seen[-1]
    assert all(one != two for one, two in pairwise(seen[:-1]))
    assert len(seen) > 4
    grows(seen)


def test_the_python_loop_on_a_workflow_with_a_structured_node(server: Server) -> None:
    with OpenAI(base_url=server.base_url, api_key="any") as client:
        stream: Any = client.chat.completions.create(
            model="streaming",
            messages=[{"role": "user", "content": "Hello, how are you?"}],
            stream=True,
            stream_options=VALID_JSON,
        )
        seen = [json.loads(chunk.choices[0].delta.content) for chunk in stream]
    assert set(seen[-1]) == {"thinking", "reply"}
    grows(seen)


def test_usage_still_comes_last(server: Server) -> None:
    with OpenAI(base_url=server.base_url, api_key="any") as client:
        stream: Any = client.chat.completions.create(
            model="gpt-4o",
            messages=MESSAGES,
            stream=True,
            stream_options=VALID_JSON | {"include_usage": True},
            response_format={"type": "json_object"},
        )
        *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage.total_tokens > 0
    assert json.loads(chunks[-1].choices[0].delta.content) == USER
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", ["gpt-4o", "routing", "concurrent"])
def test_without_json_to_come_it_is_refused(server: Server, model: str) -> None:
    with (
        OpenAI(base_url=server.base_url, api_key="any") as client,
        pytest.raises(openai.BadRequestError) as refused,
    ):
        client.chat.completions.create(
            model=model,
            messages=MESSAGES,
            stream=True,
            stream_options=VALID_JSON,
        )
    assert refused.value.param == "stream_options.valid_json_chunks"


def test_the_curl_form(locked_server: Server) -> None:
    curl = shutil.which("curl")
    if curl is None:
        absent("curl is not installed")
    body = {
        "model": "gpt-4o",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"valid_json_chunks": True},
        "response_format": {"type": "json_object"},
        "metadata": {"agent_id": "my-agent"},
    }
    answer = subprocess.run(
        [
            str(curl),
            "-sS",
            *("-X", "POST", f"{locked_server.base_url}/chat/completions"),
            *("-H", f"Authorization: Bearer {KEY}"),
            *("-H", "Content-Type: application/json"),
            *("-d", json.dumps(body)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    *payloads, done = [line[6:] for line in answer.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    seen = [json.loads(json.loads(one)["choices"][0]["delta"]["content"]) for one in payloads]
    assert seen[-1] == USER
    grows(seen)


@pytest.mark.local_model
@pytest.mark.timeout(300)
def test_the_python_loop_on_the_real_model(local_server: Server) -> None:
    """Cut by length, most likely: every chunk has to parse all the same."""
    with OpenAI(base_url=local_server.base_url, api_key="any") as client:
        stream: Any = client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "John Doe is 30. Extract the user as JSON."}],
            stream=True,
            stream_options=VALID_JSON,
            response_format=USER_SCHEMA,
            max_tokens=40,
        )
        seen = [json.loads(chunk.choices[0].delta.content) for chunk in stream]
    assert seen
    grows(seen)
