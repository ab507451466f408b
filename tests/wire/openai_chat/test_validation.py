import json
from typing import Any, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from launchpad.wire.openai_chat.errors import validation_error_body
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.wire.openai_chat.validation import explain, param_of

USER = {"role": "user", "content": "hi"}
CALLED = {
    "role": "assistant",
    "tool_calls": [
        {"id": identity, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for identity in ("c1", "c2")
    ],
}


def complaint(value: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        OpenAIChatSchema.model_validate(value)
    error = json.loads(validation_error_body(caught.value))["error"]
    assert error.pop("type") == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        ({"messages": []}, "messages", "empty_array", "Invalid 'messages': empty array."),
        ({"messages": None}, "messages", "invalid_type", "expected an array, but got null"),
        ({"messages": "hi"}, "messages", "invalid_type", "expected an array, but got a string"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type", "an object, but got a string"),
        (
            {"messages": [{"content": "x"}]},
            "messages[0].role",
            "missing_required_parameter",
            "Missing required parameter: 'messages[0].role'.",
        ),
        (
            {"messages": [{"role": 1}]},
            "messages[0].role",
            "invalid_type",
            "expected a string, but got an integer",
        ),
        (
            {"messages": [USER, {"role": "wizard", "content": "x"}]},
            "messages[1].role",
            "invalid_value",
            "'wizard'. Supported values are: 'system', 'developer', 'user', 'assistant'",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "missing_required_parameter",
            "Missing",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "invalid_type",
            "expected a string or an array, but got an integer",
        ),
        (
            {"messages": [{"role": "user", "content": []}]},
            "messages[0].content",
            "empty_array",
            "empty array",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
            "'text', 'image_url', 'input_audio', 'file'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "missing_required_parameter",
            "Missing",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
            "invalid_value",
            "begins with https://",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].input_audio.data",
            "invalid_value",
            "not valid base64",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "data:image;base64,AAAA"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
            "invalid_value",
            "a media type has the form type/subtype",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "file", "file": {"file_data": f"data:a/{'b' * 128};base64,"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].file.file_data",
            "invalid_value",
            "a media type has the form type/subtype",
        ),
        (
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": "nobody"}]},
            "messages[0].tool_call_id",
            "invalid_value",
            "no earlier assistant message",
        ),
        (
            {"messages": [CALLED, {"role": "user", "content": "x"}]},
            "messages[0].tool_calls",
            "invalid_value",
            "responding to each 'tool_call_id'. There is no tool message for: c1, c2.",
        ),
        (
            {"messages": [CALLED, {"role": "tool", "tool_call_id": "c1", "content": "x"}]},
            "messages[0].tool_calls",
            "invalid_value",
            "There is no tool message for: c2.",
        ),
        (
            {
                "messages": [
                    CALLED,
                    {"role": "tool", "tool_call_id": "c2", "content": "x"},
                    {"role": "tool", "tool_call_id": "c1", "content": "x"},
                    CALLED,
                ]
            },
            "messages[3].tool_calls",
            "invalid_value",
            "There is no tool message for: c1, c2.",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                    {"role": "user", "content": "x"},
                ]
            },
            "messages[0].function_call",
            "invalid_value",
            "There is no function message for: f.",
        ),
        ({"temperature": 3}, "temperature", "integer_above_max_value", "a value <= 2.0, but got 3"),
        ({"temperature": -0.5}, "temperature", "decimal_below_min_value", "but got -0.5"),
        ({"temperature": "warm"}, "temperature", "invalid_type", "expected a number"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type", "expected an integer"),
        (
            {"temperature": "1"},
            "temperature",
            "invalid_type",
            "expected a number, but got a string",
        ),
        ({"temperature": True}, "temperature", "invalid_type", "a number, but got a boolean"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_type", "an integer, but got a string"),
        ({"max_tokens": True}, "max_tokens", "invalid_type", "an integer, but got a boolean"),
        ({"n": "2"}, "n", "invalid_type", "expected an integer, but got a string"),
        ({"n": True}, "n", "invalid_type", "expected an integer, but got a boolean"),
        ({"seed": "7"}, "seed", "invalid_type", "expected an integer"),
        ({"logit_bias": {"5": "7"}}, "logit_bias.5", "invalid_type", "expected an integer"),
        ({"stream": "true"}, "stream", "invalid_type", "expected a boolean, but got a string"),
        ({"stop": [1]}, "stop[0]", "invalid_type", "expected a string"),
        ({"stop": 1}, "stop", "invalid_type", "a string or an array"),
        ({"model": ""}, "model", "empty_string", "it is empty"),
        ({"tool_choice": []}, "tool_choice", "invalid_type", "a string or an object, but got an a"),
        ({"tool_choice": {}}, "tool_choice.type", "missing_required_parameter", "Missing"),
        ({"tool_choice": {"type": 5}}, "tool_choice.type", "invalid_type", "expected a string"),
        ({"model": "m" * 300}, "model", "string_above_max_length", "at most 256"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value", "'huge'"),
        ({"logit_bias": {"5": 200}}, "logit_bias.5", "integer_above_max_value", "200"),
        ({"tools": [{"type": "web"}]}, "tools[0].type", "invalid_value", "'web'"),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value", "'none', 'auto' or 'required'"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value", "requires 'tools'"),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"tools": [{"type": "function", "function": {"name": "g"}}]},
                },
            },
            "tool_choice.allowed_tools.tools[0].function.name",
            "invalid_value",
            "no tool in 'tools' has this name",
        ),
        (
            {"response_format": {"type": "xml"}},
            "response_format.type",
            "invalid_value",
            "'text', 'json_object', 'json_schema'",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.name",
            "missing_required_parameter",
            "Missing",
        ),
    ],
)
def test_a_complaint_names_the_parameter_and_the_remedy(
    fields: dict[str, Any], param: str, code: str, message: str
):
    error = complaint({"messages": [USER], **fields})
    assert error["param"] == param
    assert error["code"] == code
    assert message in error["message"]
    assert "@" not in error["message"]


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def json_schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", **fields}}


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        (
            {"tools": [tool("get weather")]},
            "tools[0].function.name",
            "invalid_value",
            "'get weather' does not match the pattern ^[a-zA-Z0-9_-]+$",
        ),
        ({"tools": [tool("")]}, "tools[0].function.name", "empty_string", "it is empty"),
        (
            {"tools": [tool("f" * 65)]},
            "tools[0].function.name",
            "string_above_max_length",
            "at most 64 characters",
        ),
        ({"tools": [tool("f\n")]}, "tools[0].function.name", "invalid_value", "the pattern"),
        (
            {"tools": [tool("f"), tool("g"), tool("f")]},
            "tools[2].function.name",
            "invalid_value",
            "an earlier tool has this name",
        ),
        (
            {"tools": [tool("f"), tool("g", parameters={"properties": {"a": None}})]},
            "tools[1].function.parameters",
            "invalid_function_parameters",
            "the schema of function 'g' is not valid: 'properties.a' has to be a schema",
        ),
        (
            {"response_format": json_schema(schema={"type": "objekt"})},
            "response_format",
            "invalid_json_schema",
            "the schema 'answer' is not valid: 'type' has to be one of",
        ),
        (
            {"response_format": json_schema(strict="yes")},
            "response_format.json_schema.strict",
            "invalid_type",
            "expected a boolean, but got a string",
        ),
        (
            {"response_format": json_schema(name="")},
            "response_format.json_schema.name",
            "empty_string",
            "it is empty",
        ),
    ],
)
def test_tools_and_formats_are_looked_at_before_the_run(
    fields: dict[str, Any], param: str, code: str, message: str
):
    error = complaint({"messages": [USER], **fields})
    assert error["param"] == param
    assert error["code"] == code
    assert message in error["message"]


def test_lengths_of_a_user_s_own_fields():
    class Ticket(OpenAIChatSchema):
        area: str = Field(min_length=3, max_length=5)
        letter: str = Field(default="x", max_length=1)

    for area, letter, param, code, reason in (
        ("x", "x", "area", "string_below_min_length", "expected at least 3 characters"),
        ("", "x", "area", "empty_string", "it is empty"),
        ("mathematics", "x", "area", "string_above_max_length", "expected at most 5 characters"),
        ("maths", "xy", "letter", "string_above_max_length", "expected at most 1 character"),
    ):
        with pytest.raises(ValidationError) as caught:
            Ticket.model_validate({"messages": [USER], "area": area, "letter": letter})
        error = json.loads(validation_error_body(caught.value))["error"]
        assert (error["param"], error["code"]) == (param, code)
        assert error["message"] == f"Invalid '{param}': {reason}."


def test_a_missing_list_of_messages():
    assert complaint({}) == {
        "message": "Missing required parameter: 'messages'.",
        "param": "messages",
        "code": "missing_required_parameter",
    }


def test_what_is_no_object_at_all():
    assert complaint("hi") == {
        "message": "The body has to be a JSON object.",
        "param": None,
        "code": "invalid_type",
    }


def test_what_a_validator_says_of_the_whole_request():
    class Booking(OpenAIChatSchema):
        @model_validator(mode="after")
        def check(self) -> Self:
            raise ValueError("the shop is closed")

    with pytest.raises(ValidationError) as caught:
        Booking.model_validate({"messages": [USER]})
    error = json.loads(validation_error_body(caught.value))["error"]
    assert error["message"] == "the shop is closed."
    assert (error["param"], error["code"]) == (None, "invalid_value")


def test_further_problems_are_counted():
    assert "(1 more problem.)" in complaint({"messages": [], "n": 0})["message"]
    assert "(2 more problems.)" in complaint({"messages": [], "n": 0, "seed": "x"})["message"]


def test_a_long_value_is_not_echoed_whole():
    error = complaint({"messages": [{"role": "x" * 10_000}]})
    assert len(error["message"]) < 300


def test_malformed_json():
    with pytest.raises(ValidationError) as caught:
        OpenAIChatSchema.model_validate_json('{"messages": [')
    error = json.loads(validation_error_body(caught.value))["error"]
    assert error["message"].startswith("The body is not valid JSON: ")
    assert (error["param"], error["code"]) == (None, "invalid_json")


def test_no_problem_at_all_still_has_words():
    assert explain([]).message == "The request is not valid."


def test_params_are_written_as_openai_writes_them():
    assert param_of(("messages", 0, "@user", "content", "@array", 1, "text")) == (
        "messages[0].content[1].text"
    )
    assert param_of(("body", "n")) == "n"
    assert param_of(()) is None
