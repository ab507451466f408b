import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from launchpad.wire.openai_chat.client_form import tool_choice, tool_definitions
from launchpad.wire.openai_chat.parts import decode_data_url
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

PIXEL = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FULL: dict[str, Any] = {
    "model": "chat",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}], "name": "dev"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "43"},
        {"role": "user", "content": "and?", "custom": {"kept": True}},
    ],
    "stream": True,
    "stream_options": {"include_usage": True, "valid_json_chunks": True, "include_obfuscation": 1},
    "temperature": 0.5,
    "top_p": 1,
    "max_tokens": 5,
    "max_completion_tokens": 6,
    "stop": ["a", "b"],
    "seed": -1,
    "presence_penalty": -2,
    "frequency_penalty": 2,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "low",
    "user": "u",
    "metadata": {"agent_id": "my-agent"},
    "n": 2,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
    },
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "modalities": ["text"],
    "logprobs": False,
    "top_logprobs": 0,
    "top_k": 40,
}


def request(**fields: Any) -> OpenAIChatSchema:
    return OpenAIChatSchema.model_validate({"messages": [USER], **fields})


def with_part(**part: Any) -> dict[str, Any]:
    (kind,) = part
    return {"role": "user", "content": [{"type": kind, **part}]}


@pytest.mark.parametrize("url", ["http://example.org/a.png", "https://example.org/a.png", PIXEL])
def test_an_image_may_be_anywhere_on_the_web_or_in_the_request(url: str):
    (message,) = request(messages=[with_part(image_url={"url": url})]).messages
    assert message.model_dump(exclude_unset=True) == with_part(image_url={"url": url})


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("data:image/png;base64,aGk/aGk/", "image/png"),
        ("data:image/png;base64,aGk%2FaGk%2F", "image/png"),
        ("data:image/svg+xml;charset=utf-8;base64,aGk/aGk/", "image/svg+xml"),
        ("data:;base64,aGk/aGk/", "text/plain"),
    ],
)
def test_a_data_url_says_its_type_and_may_be_percent_encoded(url: str, media_type: str):
    """RFC 2397: text/plain is what a URL means that names no type."""
    assert decode_data_url(url) == (b"hi?hi?", media_type)


@pytest.mark.parametrize("url", ["data:image/png", "data:text/plain,hi", "image/png;base64,AAAA"])
def test_a_data_url_that_is_none_is_told_what_one_looks_like(url: str):
    with pytest.raises(ValueError, match="a data URL has the form data:<media type>;base64,<data>"):
        decode_data_url(url)


def test_a_full_request_survives_its_own_dump():
    first = OpenAIChatSchema.model_validate(FULL)
    again = OpenAIChatSchema.model_validate(first.model_dump())
    assert again == first
    assert again.model_dump() == first.model_dump()
    assert OpenAIChatSchema.model_validate_json(first.model_dump_json()) == first


def test_a_dump_says_what_the_request_said():
    dump = OpenAIChatSchema.model_validate(FULL).model_dump(exclude_unset=True)
    assert json.loads(json.dumps(dump)) == FULL


def test_the_documents_request_needs_nothing_more():
    document = (
        '{"model": "default", "messages": [{"role": "user", "content": "Hello, how are you?"}]}'
    )
    event = OpenAIChatSchema.model_validate_json(document)
    assert event.get_message() == "Hello, how are you?"
    assert event.get_message_history() == []
    assert event.stream is None
    assert not event.include_usage
    assert not event.valid_json_chunks
    assert event.choices == 1


def test_the_model_may_be_left_out():
    assert request().model == "default"


def test_a_user_derives_fields_of_their_own():
    class Mine(OpenAIChatSchema):
        mood: str = "calm"

    event = Mine.model_validate({"messages": [USER], "mood": "wild", "unknown": [1]})
    assert event.mood == "wild"
    assert event.model_extra == {"unknown": [1]}
    assert Mine.model_validate(event.model_dump()) == event


def test_instances_are_taken_as_well_as_dicts():
    event = request()
    copy = OpenAIChatSchema(messages=event.messages, model="x")
    assert copy.get_message() == "hi"


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([USER, {"role": "assistant", "content": "yes"}], "hi"),
        ([USER, {"role": "user", "content": [{"type": "text", "text": "a"}] * 2}], "aa"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}], ""),
        ([{"role": "system", "content": "only"}], ""),
    ],
)
def test_get_message_is_the_last_users_text(messages: list[Any], text: str):
    assert request(messages=messages).get_message() == text


def test_options_that_the_stream_depends_on():
    event = request(
        n=3,
        stream_options={"include_usage": True, "valid_json_chunks": True},
        response_format={"type": "json_object"},
        tools=[TOOL],
    )
    assert (event.choices, event.include_usage, event.valid_json_chunks) == (3, True, True)
    assert event.wants_json
    assert [tool.function.name for tool in event.client_tools] == ["f"]
    assert request(tools=[TOOL], tool_choice="none").client_tools == []
    assert not request(response_format={"type": "text"}).wants_json


def test_model_settings_hold_only_what_was_given():
    assert request().model_settings() == {}
    full = OpenAIChatSchema.model_validate(FULL)
    assert full.model_settings() == {
        "temperature": 0.5,
        "top_p": 1,
        "seed": -1,
        "presence_penalty": -2,
        "frequency_penalty": 2,
        "logit_bias": {"50256": -100},
        "max_tokens": 6,
        "stop_sequences": ["a", "b"],
        "thinking": "low",
        "openai_reasoning_effort": "low",
        "openai_user": "u",
        "parallel_tool_calls": False,
    }
    assert request(stop="END", max_tokens=5, reasoning_effort="none").model_settings() == {
        "max_tokens": 5,
        "stop_sequences": ["END"],
        "thinking": False,
        "openai_reasoning_effort": "none",
    }
    assert request(parallel_tool_calls=True).model_settings() == {}
    assert request(tools=[TOOL]).model_settings() == {}


@pytest.mark.parametrize("stop", ["", [], [""], ["", ""]])
def test_an_empty_stop_stops_nothing(stop: Any):
    assert request(stop=stop).model_settings() == {}
    assert request(stop=["", "x"]).model_settings() == {"stop_sequences": ["x"]}


def test_a_whole_number_will_do_for_a_number():
    assert request(temperature=1).temperature == 1


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_the_allowed_tools_are_shown_to_the_model(mode: str):
    tools = [{"type": "function", "function": {"name": name}} for name in "fgh"]
    names = [{"type": "function", "function": {"name": name}} for name in "fh"]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": names}}
    asked = request(tools=tools, tool_choice=choice)
    assert [tool.name for tool in tool_definitions(asked)] == ["f", "h"]
    assert tool_choice(asked) == ("auto" if mode == "auto" else ["f", "h"])


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "nobody"}]},
        {"messages": [with_part(image_url={"url": "ftp://example.org/a.png"})]},
        {"messages": [with_part(image_url={"url": "data:image/png,plain"})]},
        {"messages": [with_part(image_url={"url": "data:image/png;base64,not base64"})]},
        {"messages": [with_part(input_audio={"data": "not base64", "format": "wav"})]},
        {"messages": [with_part(file={"file_data": "not base64"})]},
        {"temperature": 3},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"stream": "yes"},
        {"n": 0},
        {"stop": [1]},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"response_format": {"type": "json_schema"}},
        {"model": ""},
        {"model": 3},
        {"seed": 2**63},
    ],
)
def test_bad_requests_are_refused(fields: dict[str, Any]):
    with pytest.raises(ValidationError):
        request(**fields)


MESSAGES = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, st.text(max_size=5)),
    st.builds(lambda text: {"role": "system", "content": text}, st.text(max_size=5)),
    st.builds(lambda text: {"role": "assistant", "content": text}, st.none() | st.text(max_size=5)),
    st.just({"role": "assistant", "tool_calls": [CALL]}),
)
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_any_conversation_survives_its_own_dump(messages: list[Any]):
    called = any("tool_calls" in message for message in messages)
    messages = [*messages, *([RESULT] if called else ())]
    event = request(messages=messages)
    assert OpenAIChatSchema.model_validate(event.model_dump()) == event
    assert len(event.get_message_history()) <= len(messages)
