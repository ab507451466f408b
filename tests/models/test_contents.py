"""A delta's `content` in another form than a text: what is thought in it, and white space alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest, ThinkingPart
from tests.models.faults import run
from tests.models.test_malformed import streaming
from tests.models.upstream import DONE, STOP, Call, Upstream, chunk, event, text, tool_call

from launchpad.events import ReasoningDelta, TextDelta
from launchpad.models.direct import OpenAnswer


def parts(*found: Any) -> bytes:
    return event(chunk({"content": list(found)}))


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


def test_thoughts_among_its_parts_are_reasoning() -> None:
    stream = streaming(parts(THOUGHT), parts({"type": "text", "text": "a"}), *text("b"), STOP, DONE)

    async def body(server: Upstream) -> None:
        async with OpenAnswer(server.config(), [ModelRequest.user_text_prompt("Hi")]) as live:
            heard = [one async for one in live.events("Node", structured=False)]
        assert "".join(one.text for one in heard if isinstance(one, ReasoningDelta)) == "hm"
        assert "".join(one.text for one in heard if isinstance(one, TextDelta)) == "ab"
        result = await server.agent().run("Hello")
        assert result.output == "ab"
        thoughts = [one for one in result.response.parts if isinstance(one, ThinkingPart)]
        assert [one.content for one in thoughts] == ["hm"]

    run(stream, body)


@pytest.mark.parametrize("before", [["\n\n"], ["<think>", "hm", "</think>", "\n\n"], [" ", "\n"]])
def test_white_space_before_a_call_does_not_end_an_agent_s_run(before: list[str]) -> None:
    async def script(call: Call) -> None:
        if call.body["messages"][-1]["role"] == "tool":
            await call.stream(*text("sunny"), STOP, DONE)
        else:
            asked = event(chunk(tool_call(0, id="1", name="weather", arguments="{}")))
            await call.stream(*text(*before), asked, event(chunk({}, "tool_calls")), DONE)

    def weather() -> str:
        return "sunny"

    async def body(server: Upstream) -> None:
        async with server.agent(tools=[weather]).run_stream("Hello") as result:
            assert await result.get_output() == "sunny"

    run(script, body)
