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


def test_json_of_the_workflow_s_own_is_a_json_object_where_nothing_else_is_said():
    structured = Capabilities(structured=True)
    assert review(request(**JSON, **CHUNKS), structured) == []
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    refused = (
        JSON,
        {**JSON, **CHUNKS, "stream": False},
        {"response_format": schema},
        {"response_format": schema, **CHUNKS},
    )
    for fields in refused:
        with pytest.raises(UnsupportedParameterError, match="ask for 'json_object'") as caught:
            review(request(**fields), structured)
        assert caught.value.param == "response_format"
    assert review(request(response_format=schema), EVERYTHING) == []


def test_what_is_ignored_is_named():
    fields = {"logprobs": True, "top_logprobs": 2, "service_tier": "flex", "store": False}
    assert review(request(**fields), Capabilities()) == [
        "logprobs",
        "top_logprobs",
        "service_tier",
    ]


def test_without_a_sampling_node_sampling_is_ignored():
    fields = {
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 5,
        "max_completion_tokens": 5,
        "stop": "x",
        "seed": 1,
        "presence_penalty": 1,
        "frequency_penalty": 1,
        "logit_bias": {"50256": 1},
        "reasoning_effort": "low",
        "user": "u",
    }
    assert review(request(**fields), Capabilities(sampling=False)) == list(fields)
    assert review(request(**fields), Capabilities()) == []


@pytest.mark.parametrize(
    "fields", [{}, {"model": "m", "stream": True}, {"stream_options": {"include_usage": True}}]
)
def test_plain_requests_say_what_a_closer_look_says(fields: dict[str, Any]):
    """They are not looked at closely; a derived class's are, though it changes nothing."""

    class Looked(OpenAIChatSchema):
        pass

    plain = request(**fields)
    looked = Looked.model_validate(plain.model_dump(exclude_unset=True))
    assert (plain.is_plain, looked.is_plain) == (True, False)
    assert plain.model_settings() == looked.model_settings() == {}
    assert plain.model_form() == looked.model_form()
    assert review(plain, Capabilities()) == review(looked, Capabilities()) == []


@pytest.mark.parametrize("field", sorted(set(OpenAIChatSchema.model_fields) | {"unknown"}))
def test_any_other_field_makes_a_request_one_to_look_at(field: str):
    given = request(**{field: None}) if field not in {"model", "messages"} else request()
    assert given.is_plain == (field in {"model", "messages", "stream", "stream_options"})


def test_a_derived_class_s_defaults_and_later_changes_count():
    class Warm(OpenAIChatSchema):
        temperature: float | None = 0.7

    warm = Warm.model_validate({"messages": [{"role": "user", "content": "hi"}]})
    assert warm.model_settings() == {"temperature": 0.7}
    changed = request()
    changed.top_p = 0.5
    assert changed.model_settings() == {"top_p": 0.5}


def test_what_no_model_is_asked_with_is_named():
    fields = {"temperature": 0, "max_completion_tokens": 5, "stop": "x", "reasoning_effort": "low"}
    can = Capabilities()
    assert review(request(**fields), can, {"temperature", "seed"}) == ["temperature"]
    assert review(request(**fields), can, {"max_tokens", "stop_sequences"}) == [
        "max_completion_tokens",
        "stop",
    ]
    # It goes to servers of OpenAI's wire in one way, to others in another.
    assert review(request(**fields), can, {"thinking"}) == []
    assert review(request(**fields), can, {"thinking", "openai_reasoning_effort"}) == [
        "reasoning_effort"
    ]
    assert review(request(**fields), can, {"openai_reasoning_effort"}) == []
    assert review(request(user="u"), can, {"openai_user"}) == ["user"]
    # What is empty asks for nothing that could be left out.
    assert review(request(stop="", seed=1), can, {"seed"}) == ["seed"]
    tools = {**TOOLS, "parallel_tool_calls": True}
    assert review(request(**tools), EVERYTHING, {"parallel_tool_calls"}) == ["parallel_tool_calls"]
    assert review(request(**fields), Capabilities(sampling=False), {"temperature"}) == [
        "temperature",
        "max_completion_tokens",
        "stop",
        "reasoning_effort",
    ]
