"""The scripted upstream on Anthropic's wire, seen by Anthropic's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from launchpad.testing import ScriptedUpstream
from launchpad.testing.steps import Chunk, Die, ErrorEvent, Status

WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def claude(upstream: ScriptedUpstream) -> Iterator[Anthropic]:
    with Anthropic(base_url=upstream.url, api_key="any", max_retries=0, timeout=10) as client:
        yield client


def ask(text: str, **options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "m", "max_tokens": 100, "messages": messages, **options}


def test_text_streams_as_document_002_reads_it(claude: Anthropic) -> None:
    with claude.messages.stream(**ask("one two three", system="Be kind.")) as stream:
        assert list(stream.text_stream) == ["one", " two", " three"]
        message = stream.get_final_message()
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3)
    whole = claude.messages.create(**ask("one two three"))
    assert [block.to_dict() for block in whole.content] == [
        {"type": "text", "text": "one two three"}
    ]


def test_limits(claude: Anthropic) -> None:
    assert claude.messages.create(**ask("a b c", max_tokens=1)).stop_reason == "max_tokens"
    stopped = claude.messages.create(**ask("a b c", stop_sequences=["b"]))
    assert stopped.content[0].to_dict()["text"] == "a "


def test_thinking_and_tools(claude: Anthropic) -> None:
    request = ask('!reason hm\nget_weather {"city": "Rome"}', tools=[WEATHER])
    with claude.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    whole = claude.messages.create(**request)
    for message in (streamed, whole):
        assert [block.type for block in message.content] == ["thinking", "tool_use"]
        assert message.content[1].to_dict()["input"] == {"city": "Rome"}
        assert message.stop_reason == "tool_use"
    used = whole.content[1].to_dict()
    result = {"type": "tool_result", "tool_use_id": used["id"], "content": "sunny"}
    history = [
        *request["messages"],
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [result]},
    ]
    answer = claude.messages.create(**{**request, "messages": history})
    assert answer.content[-1].to_dict()["text"] == "get_weather says: sunny"


def test_errors_and_faults(claude: Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(429, {"Retry-After": "2"}))
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.create(**ask("x"))
    for fault, error in ((ErrorEvent("Broken."), anthropic.APIStatusError), (Die(), Exception)):
        upstream.script(Chunk("a"), fault)
        with pytest.raises(error), claude.messages.stream(**ask("x")) as stream:
            stream.get_final_message()
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**{**ask("x"), "max_tokens": "many"})
