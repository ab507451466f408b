import json

import pytest
from openai.types.chat import ChatCompletion
from tests.wire.runs import node, run_of

from launchpad.errors import OutputError
from launchpad.events import (
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


def test_the_body_is_a_chat_completion():
    builder = ChatCompletionBuilder(run_id="r1", created=7)
    run = run_of(*node("A", TextDelta("A", "Hi")), *node("B", TextDelta("B", "you")))
    builder.add([*run[:-1], RunFinished("stop", Usage(1, 2))])
    body = builder.body()
    ChatCompletion.model_validate_json(body)
    assert json.loads(body) == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 7,
        "model": "default",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi\n\nyou", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "launchpad": {"nodes": ["A", "B"]},
    }


def test_calls_refusals_and_reasoning():
    words = [
        ReasoningDelta("A", "hm"),
        RefusalDelta("A", "no"),
        ToolCallDelta("A", 3, '{"a"', "c1", "f"),
        ToolCallDelta("A", 3, ":1}"),
    ]
    builder = ChatCompletionBuilder()
    builder.add(run_of(NodeStarted("A"), *words, NodeFinished("A", "tool_calls")))
    choice = json.loads(builder.body())["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "",
        "refusal": "no",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    }


def test_choices_stand_side_by_side_and_usage_is_summed():
    builder = ChatCompletionBuilder(choices=2)
    for choice in (1, 0):
        text = TextDelta("A", f"answer {choice}")
        builder.add([*node("A", text), RunFinished("stop", Usage(1, 2))], choice)
        assert builder.finished == (choice == 0)
    body = json.loads(builder.body())
    assert [c["message"]["content"] for c in body["choices"]] == ["answer 0", "answer 1"]
    assert body["usage"]["total_tokens"] == 6


def test_the_model_is_the_request_s_where_the_run_has_one():
    asked = OpenAIChatSchema(model="mine", messages=[{"role": "user", "content": "Hi"}])  # type: ignore[list-item]
    for request, model in ((asked, "mine"), ({"model": "of its own"}, "default")):
        builder = ChatCompletionBuilder()
        builder.add([RunStarted("r1", "w", request), RunFinished()])
        body = json.loads(builder.body())
        assert (body["id"], body["model"]) == ("chatcmpl-r1", model)


def test_what_comes_after_the_end_is_not_said():
    builder = ChatCompletionBuilder()
    builder.add(
        [*run_of(*node("A", TextDelta("A", "x"))), TextDelta("B", "y"), RunFinished("length")]
    )
    choice = json.loads(builder.body())["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("x", "stop")


def test_no_usage_is_made_up():
    builder = ChatCompletionBuilder(choices=2)
    builder.add([RunFinished("stop", Usage(1, 2))], 0)
    builder.add([RunFinished("stop", None)], 1)
    assert "usage" not in json.loads(builder.body())


def test_a_failed_run_has_no_body_but_a_failure():
    builder = ChatCompletionBuilder()
    builder.add([*run_of(*node("A", TextDelta("A", "x")))[:-1], RunFailed("no", 502)])
    assert builder.failed == RunFailed("no", 502)
    assert not builder.finished
    with pytest.raises(ValueError, match="not finished"):
        builder.body()
    assert builder.failure(RunFailed("no", 502)).status == 502


def test_an_overflow_is_the_streams_overflow():
    builder = ChatCompletionBuilder(hold_limit=100)
    with pytest.raises(OutputError):
        builder.add([TextDelta("A", "a"), TextDelta("B", "b" * 200)])
