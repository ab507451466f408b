import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.wire.runs import batches, chunks, frames, node, run_of, runs

from launchpad.errors import OutputError
from launchpad.events import (
    JsonDelta,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.sse.frame import MAX_LINE
from launchpad.wire.openai_chat.completion import ChatCompletionBuilder
from launchpad.wire.openai_chat.encoder import OpenAIChatEncoder
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

HELLO = run_of(*node("A", TextDelta("A", "Hello"), TextDelta("A", " you")))


def request(**fields: Any) -> OpenAIChatSchema:
    return OpenAIChatSchema.model_validate(
        {"messages": [{"role": "user", "content": "hi"}], **fields}
    )


def encode(events: list[RunEvent], **fields: Any) -> list[dict[str, Any]]:
    encoder = OpenAIChatEncoder(request(**fields), run_id="r1", created=1)
    return chunks(encoder.encode(events))


def deltas(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for each in objects for choice in each["choices"]]


def accumulate(objects: list[dict[str, Any]], choice: int = 0) -> dict[str, Any]:
    """What any client makes of the chunks of one choice."""
    message: dict[str, Any] = {"reasoning_content": None}
    calls: list[dict[str, Any]] = []
    reason = None
    for each in objects:
        for item in each["choices"]:
            if item["index"] != choice:
                continue
            assert reason is None, "nothing follows the finish"
            reason = item["finish_reason"]
            for key, value in item["delta"].items():
                if key == "tool_calls":
                    for piece in value:
                        if piece["index"] == len(calls):
                            function = {"name": piece["function"]["name"], "arguments": ""}
                            calls.append(
                                {"id": piece["id"], "type": piece["type"], "function": function}
                            )
                        call = calls[piece["index"]]
                        call["function"]["arguments"] += piece["function"]["arguments"]
                        if "extra_content" in piece:
                            call["extra_content"] = piece["extra_content"]
                elif isinstance(value, str):
                    message[key] = (message.get(key) or "") + value
                else:
                    message.setdefault(key, value)
    if calls:
        message["tool_calls"] = calls
    if message["reasoning_content"] is None:
        del message["reasoning_content"]
    return {"index": choice, "message": message, "logprobs": None, "finish_reason": reason}


def test_a_stream_is_the_role_the_words_the_finish_and_done():
    data = OpenAIChatEncoder(request(model="m"), run_id="r1", created=7).encode(HELLO)
    head = '{"id":"chatcmpl-r1","object":"chat.completion.chunk","created":7,"model":"m","choices":'
    tail = '"finish_reason":null}],"launchpad":{"node":"A"}}'
    assert frames(data) == [
        head + '[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},' + tail,
        head + '[{"index":0,"delta":{"content":"Hello"},' + tail,
        head + '[{"index":0,"delta":{"content":" you"},' + tail,
        head + '[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        "[DONE]",
    ]


def test_nothing_leaves_before_the_first_content():
    encoder = OpenAIChatEncoder()
    assert encoder.encode([RunStarted("r1", "W", None), NodeStarted("A")]) == b""
    assert encoder.encode([TextDelta("A", "")]) == b""
    assert encoder.encode([NodeFinished("A")]) == b""
    assert encoder.encode([NodeStarted("B"), ReasoningDelta("B", "hm")]) != b""


def test_a_run_that_says_nothing_still_has_a_role_and_a_finish():
    assert deltas(encode(run_of())) == [{"role": "assistant", "content": "", "refusal": None}, {}]


def test_what_the_constructor_left_out_comes_from_the_run():
    events = [RunStarted("abc", "W", request(model="mine")), *HELLO[1:]]
    first = chunks(OpenAIChatEncoder().encode(events))[0]
    assert (first["id"], first["model"]) == ("chatcmpl-abc", "mine")
    assert first["created"] > 1_700_000_000
    bare = chunks(OpenAIChatEncoder().encode([TextDelta("A", "x")]))[0]
    assert bare["model"] == "default"
    assert len(bare["id"]) > 20


def test_usage_comes_last_with_no_choices_and_is_null_before():
    events = [*HELLO[:-1], RunFinished("stop", Usage(3, 5, 1, 2))]
    objects = encode(events, stream_options={"include_usage": True})
    assert [each["usage"] for each in objects[:-1]] == [None] * (len(objects) - 1)
    assert objects[-1]["choices"] == []
    assert objects[-1]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert "usage" not in encode(events)[-1]


def test_no_usage_is_made_up():
    objects = encode(HELLO, stream_options={"include_usage": True})
    assert all(each["choices"] for each in objects)


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls"])
def test_the_finish_reason_is_the_last_speaking_nodes(reason: Any):
    events = [
        *node("A", TextDelta("A", "a")),
        NodeStarted("B"),
        TextDelta("B", "b"),
        NodeFinished("B", reason),
        *node("Silent"),
    ]
    assert encode(run_of(*events))[-1]["choices"][0]["finish_reason"] == reason


def test_the_last_node_on_the_wire_gives_the_reason_not_the_last_to_end():
    events = [
        NodeStarted("All"),
        NodeStarted("A", "All"),
        NodeStarted("B", "All"),
        TextDelta("A", "a"),
        TextDelta("B", "b"),
        NodeFinished("B", "length"),
        NodeFinished("A", "stop"),
        NodeFinished("All"),
    ]
    assert encode(run_of(*events))[-1]["choices"][0]["finish_reason"] == "length"


CALLED = ToolCallDelta("A", 0, "{}", "c", "f")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        # A node that gives no reason of its own.
        (node("A", CALLED), "tool_calls"),
        (node("A", TextDelta("A", "a"), CALLED), "tool_calls"),
        # A later node that only speaks.
        ([*node("A", CALLED), *node("B", TextDelta("B", "b"))], "tool_calls"),
        ([NodeStarted("A"), CALLED, NodeFinished("A", "length")], "length"),
        ([NodeStarted("A"), CALLED, NodeFinished("A", "content_filter")], "content_filter"),
        ([CALLED], "tool_calls"),
    ],
)
def test_a_choice_with_calls_ends_for_them(nodes: list[RunEvent], reason: str):
    assert encode(run_of(*nodes))[-1]["choices"][0]["finish_reason"] == reason
    builder = ChatCompletionBuilder(request())
    builder.add(run_of(*nodes))
    assert builder.completion()["choices"][0]["finish_reason"] == reason


def test_of_several_choices_those_with_calls_end_for_them():
    runs_of_choices = (run_of(*node("A", CALLED)), HELLO)
    encoder = OpenAIChatEncoder(request(), choices=2)
    builder = ChatCompletionBuilder(request(), choices=2)
    objects: list[dict[str, Any]] = []
    for choice, events in enumerate(runs_of_choices):
        objects += chunks(encoder.encode(events, choice))
        builder.add(events, choice)
    streamed = [accumulate(objects, choice)["finish_reason"] for choice in (0, 1)]
    answered = [choice["finish_reason"] for choice in builder.completion()["choices"]]
    assert streamed == answered == ["tool_calls", "stop"]


def test_each_chunk_says_which_node_speaks():
    events = run_of(*node("A", TextDelta("A", "a")), *node("B", JsonDelta("B", "{}")))
    objects = encode(events)
    assert [each["launchpad"]["node"] for each in objects[:-1]] == ["A", "A", "B"]
    assert deltas(objects)[2] == {"content": "\n\n{}"}


def test_reasoning_and_refusal_have_their_own_fields():
    words = [ReasoningDelta("A", "hm"), RefusalDelta("A", "no"), ReasoningDelta("A", "m")]
    assert deltas(encode(run_of(*node("A", *words))))[1:-1] == [
        {"reasoning_content": "hm"},
        {"refusal": "no"},
        {"reasoning_content": "m"},
    ]


def test_tool_calls_have_one_stable_index_across_nodes():
    words = [
        *node("A", ToolCallDelta("A", 5, "", "call_1", "f"), ToolCallDelta("A", 5, '{"x":1}')),
        *node("B", ToolCallDelta("B", 5, "{}", None, "g"), ToolCallDelta("B", 5, "")),
    ]
    assert [delta["tool_calls"] for delta in deltas(encode(run_of(*words)))[1:-1]] == [
        [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "f", "arguments": ""},
            }
        ],
        [{"index": 0, "function": {"arguments": '{"x":1}'}}],
        [
            {
                "index": 1,
                "id": "call_r1_0_1",
                "type": "function",
                "function": {"name": "g", "arguments": "{}"},
            }
        ],
        [{"index": 1, "function": {"arguments": ""}}],
    ]


def test_no_two_calls_have_one_id():
    words = [
        *node("A", ToolCallDelta("A", 0, "", "call_0", "f"), ToolCallDelta("A", 0, "1", "call_0")),
        *node("B", ToolCallDelta("B", 0, "2", "call_0", "g")),
        *node("C", ToolCallDelta("C", 0, "3", "call_0_1"), ToolCallDelta("C", 1, "4", "call_0")),
        *node("D", ToolCallDelta("D", 0, "5"), ToolCallDelta("D", 1, "6", "call_r1_0_4")),
    ]
    called = accumulate(encode(run_of(*words)))["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in called] == [
        ("call_0", "1"),
        ("call_0_1", "2"),
        ("call_0_1_2", "3"),
        ("call_0_3", "4"),
        ("call_r1_0_4", "5"),
        ("call_r1_0_4_5", "6"),
    ]
    builder = ChatCompletionBuilder(request(), run_id="r1")
    builder.add(run_of(*words))
    assert builder.completion()["choices"][0]["message"]["tool_calls"] == called


def test_an_error_after_content_is_one_object_and_no_done():
    failure = RunFailed("Too slow.\u2028", 504, "upstream_error", "upstream_timeout")
    encoder = OpenAIChatEncoder()
    data = encoder.encode([*HELLO[:-1], failure])
    assert json.loads(frames(data)[-1]) == {
        "error": {
            "message": "Too slow.\u2028",
            "type": "upstream_error",
            "param": None,
            "code": "upstream_timeout",
        }
    }
    assert encoder.ended
    assert encoder.encode(HELLO) == b""


def test_a_failure_before_content_is_an_http_answer():
    answer = OpenAIChatEncoder().failure(RunFailed("Wait.", 429, "rate_limit_error", "x", "y", 1.2))
    assert answer.status == 429
    assert answer.headers == {"content-type": "application/json", "retry-after": "2"}
    assert json.loads(answer.body)["error"] == {
        "message": "Wait.",
        "type": "rate_limit_error",
        "param": "y",
        "code": "x",
    }


@pytest.mark.parametrize("text", ["x" * 300_000, "\u2028" * 40_000, "\x01" * 40_000, "😀" * 50_000])
@pytest.mark.parametrize("kind", [TextDelta, JsonDelta, ReasoningDelta, RefusalDelta])
def test_no_line_is_longer_than_64_kib(kind: Any, text: str):
    data = OpenAIChatEncoder(request(model="m" * 256)).encode(
        run_of(*node("A", kind("A", "first"), kind("A", text)))
    )
    assert max(map(len, data.split(b"\n"))) <= MAX_LINE
    message = accumulate(chunks(data))["message"]
    assert "first" + text in message.values()


def test_long_arguments_are_cut_too():
    arguments = json.dumps({"text": '"\\' * 50_000})
    data = OpenAIChatEncoder().encode(
        run_of(
            *node("A", ToolCallDelta("A", 0, arguments, "c", "f"), ToolCallDelta("A", 0, arguments))
        )
    )
    assert max(map(len, data.split(b"\n"))) <= MAX_LINE
    message = accumulate(chunks(data))["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == arguments * 2


def test_what_stands_beside_arguments_leaves_them_less_of_the_line():
    extra = {"google": {"thought_signature": "x" * 40_000}}
    words = [ToolCallDelta("A", 0, "y" * 100_000, "c", "f", extra)]
    words.append(ToolCallDelta("A", 0, "z", extra_content=extra))
    data = OpenAIChatEncoder().encode(run_of(*node("A", *words)))
    assert max(map(len, data.split(b"\n"))) <= MAX_LINE
    (call,) = accumulate(chunks(data))["message"]["tool_calls"]
    assert call["function"]["arguments"] == "y" * 100_000 + "z"
    assert call["extra_content"] == extra


def test_lone_surrogates_do_not_break_a_stream():
    words = [TextDelta("A", "a"), TextDelta("A", "\ud83d"), ToolCallDelta("A", 0, "\ud83d", "c")]
    message = accumulate(encode(run_of(*node("A", *words))))["message"]
    assert message["content"] == "a\ufffd"
    assert message["tool_calls"][0]["function"]["arguments"] == "\ufffd"


@pytest.mark.parametrize(
    ("kind", "field"),
    [(TextDelta, "content"), (ReasoningDelta, "reasoning_content"), (RefusalDelta, "refusal")],
)
def test_a_pair_that_the_upstream_cut_arrives_whole(kind: Any, field: str):
    words = ["hé", "a\ud83d", "\ude00b", "\ud83d", "\ude00", "\ud83d", "c", "\ud83d"]
    message = accumulate(encode(run_of(*node("A", *[kind("A", word) for word in words]))))[
        "message"
    ]
    assert message[field] == "héa😀b😀\ufffdc\ufffd"


def test_a_pair_that_the_upstream_cut_in_arguments_arrives_whole():
    pieces = [ToolCallDelta("A", 0, '{"a":"\ud83d', "c", "f"), ToolCallDelta("A", 0, '\ude00"}')]
    message = accumulate(encode(run_of(*node("A", *pieces))))["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"a":"😀"}'


def test_choices_have_their_own_roles_and_finishes_and_one_end():
    encoder = OpenAIChatEncoder(
        request(n=2, stream_options={"include_usage": True}), run_id="r", created=1, choices=2
    )
    first, second = encoder.choice(0), encoder.choice(1)
    run = [*HELLO[:-1], RunFinished("stop", Usage(1, 2))]
    data = first.encode(run[:3]) + second.encode(run) + first.encode(run[3:])
    assert first.encode(run) == b""
    objects = chunks(data)
    assert data.endswith(b"data: [DONE]\n\n")
    assert data.count(b"[DONE]") == 1
    assert objects[-1]["usage"]["total_tokens"] == 6
    for choice in (0, 1):
        assert accumulate(objects, choice)["message"]["content"] == "Hello you"
        assert accumulate(objects, choice)["finish_reason"] == "stop"


def test_one_failing_choice_ends_the_stream():
    encoder = OpenAIChatEncoder(choices=2)
    encoder.encode(HELLO, 0)
    assert b'"error"' in encoder.encode([RunFailed("no")], 1)
    assert encoder.ended


def test_what_was_told_before_an_overflow_still_leaves():
    encoder = OpenAIChatEncoder(hold_limit=200)
    with pytest.raises(OutputError):
        encoder.encode([*HELLO[:3], NodeStarted("B"), TextDelta("B", "b" * 300)])
    objects = chunks(encoder.encode([RunFailed("too much")]))
    assert deltas(objects[:-1])[-1] == {"content": "Hello"}
    assert "error" in objects[-1]


@given(runs())
def test_openais_own_types_read_every_chunk(events: list[RunEvent]):
    for each in encode(events, stream_options={"include_usage": True}):
        ChatCompletionChunk.model_validate(each)


@given(st.data(), runs())
def test_batches_make_no_difference(data: st.DataObject, events: list[RunEvent]):
    whole, cut = (OpenAIChatEncoder(request(), run_id="r", created=1) for _ in range(2))
    pieces = [cut.encode(batch) for batch in data.draw(batches(events))]
    assert b"".join(pieces) == whole.encode(events)


@given(runs())
def test_the_stream_accumulates_to_the_completion(events: list[RunEvent]):
    objects = encode(events, stream_options={"include_usage": True})
    builder = ChatCompletionBuilder(request(), run_id="r1", created=1)
    builder.add(events)
    body = json.loads(builder.body())
    assert body["choices"] == [accumulate(objects)]
    assert body.get("usage") == (None if objects[-1]["choices"] else objects[-1]["usage"])
    nodes = [each["launchpad"]["node"] for each in objects if "launchpad" in each]
    assert body["launchpad"]["nodes"] == list(dict.fromkeys(nodes))
    same = ("id", "created", "model")
    assert [body[key] for key in same] == [objects[0][key] for key in same]


@given(runs())
def test_openais_accumulator_agrees_with_the_completion(events: list[RunEvent]):
    state: Any = ChatCompletionStreamState()
    for each in encode(events):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    builder = ChatCompletionBuilder(request(), run_id="r1", created=1)
    builder.add(events)
    streamed = state.current_completion_snapshot.choices[0]
    answered = ChatCompletion.model_validate_json(builder.body()).choices[0]
    assert streamed.finish_reason == answered.finish_reason
    for field in ("role", "content", "refusal"):
        assert getattr(streamed.message, field) == getattr(answered.message, field)
    calls = [
        [
            (call.id, call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
        ]
        for choice in (streamed, answered)
    ]
    assert calls[0] == calls[1]
