import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    BinaryImage,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from launchpad.wire.openai_chat.schema import OpenAIChatSchema

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def call(identity: str, name: str = "weather") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": "{}"}}


def result(identity: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "sun"}


def request(*messages: Any) -> OpenAIChatSchema:
    return OpenAIChatSchema.model_validate({"messages": list(messages)})


def shape(messages: list[ModelMessage]) -> list[list[tuple[str, Any]]]:
    return [
        [(type(part).__name__, getattr(part, "content", None)) for part in message.parts]
        for message in messages
    ]


def test_history_is_what_came_before_the_last_user_message():
    event = request(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d"},
        user("one"),
        assistant("two"),
        user("three"),
    )
    assert shape(event.get_message_history()) == [
        [("SystemPromptPart", "s"), ("SystemPromptPart", "d"), ("UserPromptPart", "one")],
        [("TextPart", "two")],
    ]
    assert event.get_user_prompt() == "three"
    assert shape(event.get_messages())[-1] == [("UserPromptPart", "three")]


def test_a_tools_result_gets_its_tools_name():
    event = request(
        user("q"),
        assistant("hm", tool_calls=[call("c1"), call("c2", "time")]),
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "noon"}]},
        result("c1"),
        user("next"),
    )
    _, response, results = event.get_message_history()
    assert isinstance(response, ModelResponse)
    assert isinstance(response.parts[0], TextPart)
    assert [
        (p.tool_name, p.args, p.tool_call_id) for p in response.parts if isinstance(p, ToolCallPart)
    ] == [("weather", "{}", "c1"), ("time", "{}", "c2")]
    assert [
        (p.tool_name, p.content, p.tool_call_id)
        for p in results.parts
        if isinstance(p, ToolReturnPart)
    ] == [("time", "noon", "c2"), ("weather", "sun", "c1")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_what_was_thought_before_calls_is_told_once(field: str):
    event = request(
        user("q"),
        assistant("hm", **{field: "not needed"}),
        assistant(tool_calls=[call("c1"), call("c2")], **{field: "thought"}),
        assistant(tool_calls=[call("c3")], **{field: None}),
        assistant(tool_calls=[call("c4")], **{field: {"no": "text"}}),
        *(result(f"c{number}") for number in "1234"),
    )
    calls = [
        part
        for each in event.get_messages()
        for part in each.parts
        if part.part_kind == "tool-call"
    ]
    assert [part.provider_details for part in calls] == [{field: "thought"}, None, None, None]


def test_after_a_tools_result_there_is_no_new_prompt():
    event = request(
        user("q"),
        assistant(tool_calls=[call("c1")]),
        result("c1"),
    )
    assert event.get_user_prompt() is None
    assert event.get_message() == "q"
    assert len(event.get_message_history()) == 3


@pytest.mark.parametrize(
    "messages",
    [
        [assistant(tool_calls=[call("c1"), call("c2")]), result("c2"), user("and"), result("c1")],
        [*(assistant(tool_calls=[call(one)]) for one in ("c1", "c2")), result("c1"), result("c2")],
        [assistant(tool_calls=[call("c1")]), result("c1")] * 2,
    ],
    ids=["a user between", "calls apart", "an id again"],
)
def test_where_a_result_stands_is_left_to_the_model(messages: list[Any]):
    assert len(request(user("q"), *messages, user("next")).messages) == len(messages) + 2


def test_the_older_function_form():
    event = request(
        user("q"),
        assistant(function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "r"},
        user("next"),
    )
    _, response, result = event.get_message_history()
    called, returned = response.parts[0], result.parts[0]
    assert isinstance(called, ToolCallPart)
    assert isinstance(returned, ToolReturnPart)
    assert called.tool_call_id == returned.tool_call_id
    assert (returned.tool_name, returned.content) == ("f", "r")


def test_instructions_after_the_users_words_are_not_lost():
    event = request(user("q"), {"role": "system", "content": "s"})
    assert event.get_user_prompt() == "q"
    assert shape(event.get_message_history()) == [[("SystemPromptPart", "s")]]


def test_a_prefill_is_no_history_for_an_agent_but_part_of_the_conversation():
    event = request(user("q"), assistant("I th"))
    assert event.get_user_prompt() == "q"
    assert event.get_message_history() == []
    assert shape(event.get_messages())[-1] == [("TextPart", "I th")]


def test_without_a_user_everything_is_history():
    event = request({"role": "system", "content": "s"})
    assert event.get_user_prompt() is None
    assert shape(event.get_message_history()) == [[("SystemPromptPart", "s")]]


def test_an_empty_answer_is_left_out_and_a_refusal_is_words():
    event = request(user("a"), assistant(""), user("b"), assistant(refusal="No."), user("c"))
    assert shape(event.get_message_history()) == [
        [("UserPromptPart", "a"), ("UserPromptPart", "b")],
        [("TextPart", "No.")],
    ]


def test_text_parts_stay_apart_where_there_is_a_place_for_them():
    parts = [{"type": "text", "text": "What is in"}, {"type": "text", "text": "Paris?"}]
    assert request(user(parts)).get_user_prompt() == ["What is in", "Paris?"]
    assert request(user(parts[:1])).get_user_prompt() == "What is in"
    system: Any = request({"role": "system", "content": parts}).get_messages()[0]
    assert system.parts[0].content == "What is in\nParis?"


@pytest.mark.parametrize("url", ["DATA:image/PNG;base64,iVBORw0KGgo=", PIXEL.upper()[:22] + "iVBO"])
def test_a_data_url_s_scheme_and_type_have_no_case(url: str):
    picture: Any = {"type": "image_url", "image_url": {"url": url}}
    file: Any = {"type": "file", "file": {"file_data": url}}
    prompt = request(user([picture, file])).get_user_prompt()
    assert isinstance(prompt, list)
    for part in prompt:
        assert isinstance(part, BinaryImage)
        assert part.media_type == "image/png"
        assert part.data.startswith(b"\x89PN")


def test_the_scheme_of_a_picture_s_address_has_no_case():
    picture: Any = {"type": "image_url", "image_url": {"url": "HTTPS://example.org/a.png"}}
    assert request(user([picture])).get_user_prompt() == [ImageUrl("HTTPS://example.org/a.png")]


def test_pictures_sound_and_files():
    event = request(
        user(
            [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}},
            ]
        )
    )
    prompt = event.get_user_prompt()
    assert isinstance(prompt, list)
    text, inline, linked, *packed = prompt
    assert text == "look"
    assert isinstance(inline, BinaryImage)
    assert (inline.media_type, inline.vendor_metadata) == ("image/png", {"detail": "low"})
    assert isinstance(linked, ImageUrl)
    assert linked.url == "https://example.org/a.png"
    kinds = ["audio/mpeg", "audio/wav", "application/pdf", "text/plain"]
    assert [part.media_type for part in packed if isinstance(part, BinaryContent)] == kinds


@pytest.mark.parametrize(
    "messages",
    [
        [user("q")],
        [{"role": "system", "content": "s"}, user("a"), assistant("b"), user("q")],
        [
            user("a"),
            assistant(tool_calls=[call("c1")]),
            result("c1"),
        ],
        [user("a"), assistant("prefill")],
    ],
)
def test_an_agent_takes_it(messages: list[Any]):
    seen: list[list[ModelMessage]] = []

    async def answer(conversation: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.append(conversation)
        yield "ok"

    async def main() -> None:
        event = request(*messages)
        agent = Agent(FunctionModel(stream_function=answer))
        run = agent.run_stream(event.get_user_prompt(), message_history=event.get_message_history())
        async with run as result:
            assert await result.get_output() == "ok"

    asyncio.run(main())
    last = seen[0][-1]
    assert isinstance(last, ModelRequest)
    assert isinstance(last.parts[-1], UserPromptPart | ToolReturnPart | SystemPromptPart)
