from typing import Any

import pytest

from launchpad.errors import UnsupportedParameterError
from launchpad.wire.openai_chat.parameters import Capabilities, review
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
JSON = {"response_format": {"type": "json_object"}}
CHUNKS = {"stream_options": {"valid_json_chunks": True}}
EVERYTHING = Capabilities(client_tools=True, response_format=True, structured=True, choices=8)


def request(**fields: Any) -> OpenAIChatSchema:
    return OpenAIChatSchema.model_validate(
        {"messages": [{"role": "user", "content": "hi"}], **fields}
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (TOOLS, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        (JSON, "response_format"),
        ({"n": 2}, "n"),
        ({"audio": {"voice": "x", "format": "wav"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        (CHUNKS, "stream_options.valid_json_chunks"),
    ],
)
def test_what_would_change_the_form_is_refused(fields: dict[str, Any], param: str):
    with pytest.raises(UnsupportedParameterError) as caught:
        review(request(**fields), Capabilities())
    assert caught.value.param == param
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.status == 400
    assert f"'{param}'" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {**TOOLS, "tool_choice": "none"},
        {"tools": []},
        {"functions": [{"name": "f"}], "function_call": "none"},
        {"response_format": {"type": "text"}},
        {"n": 1},
        {"modalities": ["text"]},
        {**CHUNKS, "stream": False},
        {"unknown": "thing"},
    ],
)
def test_what_leaves_the_form_as_it_is_passes(fields: dict[str, Any]):
    assert review(request(**fields), Capabilities()) == []


def test_a_capable_workflow_takes_everything():
    assert review(request(**TOOLS, **JSON, **CHUNKS, n=8), EVERYTHING) == []
    with pytest.raises(UnsupportedParameterError, match="at most 8 choices"):
        review(request(n=9), EVERYTHING)


def test_json_chunks_need_json_from_somewhere():
    formats = Capabilities(response_format=True)
    assert review(request(**CHUNKS, **JSON), formats) == []
    with pytest.raises(UnsupportedParameterError, match="response_format"):
        review(request(**CHUNKS), formats)
    assert review(request(**CHUNKS), Capabilities(structured=True)) == []


def test_what_is_ignored_is_named():
    fields = {"logprobs": True, "top_logprobs": 2, "service_tier": "flex", "store": False}
    assert review(request(**fields), Capabilities()) == [
        "logprobs",
        "top_logprobs",
        "service_tier",
    ]


def test_without_a_sampling_node_sampling_is_ignored():
    fields = {"temperature": 0, "stop": "x", "user": "u"}
    assert review(request(**fields), Capabilities(sampling=False)) == [
        "temperature",
        "stop",
        "user",
    ]
    assert review(request(**fields), Capabilities()) == []
