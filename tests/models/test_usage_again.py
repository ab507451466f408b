"""Token counts that come with every chunk, as vLLM's, xAI's and Perplexity's: counted once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models.faults import run
from tests.models.test_after_the_finish import READERS
from tests.models.test_malformed import streaming
from tests.models.upstream import DONE, Call, Upstream, chunk, event, tool_call


def counts(read: int, written: int, thought: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


SAID = [
    event(chunk({"role": "assistant", "content": ""}, usage=counts(11, 0))),
    event(chunk({"content": "a"}, usage=counts(11, 1, 1))),
    event(chunk({"content": "b"}, usage=counts(11, 2, 1))),
    event(chunk({}, "stop", usage=counts(11, 3, 2))),
    event({**chunk({}), "choices": [], "usage": counts(11, 3, 2)}),
    DONE,
]


@pytest.mark.parametrize("asked", [False, True])
def test_the_last_counts_are_the_answer_s(asked: bool) -> None:
    settings = {"openai_continuous_usage_stats": True} if asked else None

    async def body(server: Upstream) -> None:
        for read in READERS:
            for _ in "12":
                heard = await read(server, model_settings=settings)
                assert heard == ("ab", "stop", 3), read.__name__
        async with server.agent(model_settings=settings).run_stream("Hello") as result:
            assert await result.get_output() == "ab"
        assert result.usage.input_tokens == 11
        assert result.usage.details["reasoning_tokens"] == 2

    run(streaming(*SAID), body)


@pytest.mark.parametrize("later", [[counts(0, 3)], [counts(0, 1), counts(11, 3, 2)]])
def test_a_count_that_falls_takes_nothing_back(later: list[dict[str, Any]]) -> None:
    first = chunk({"role": "assistant", "content": "a"}, usage=counts(11, 1))
    others = [event(chunk({}, usage=usage)) for usage in later]
    pieces = [event(first), *others, event(chunk({}, "stop")), DONE]

    async def body(server: Upstream) -> None:
        async with server.agent().run_stream("Hello") as result:
            assert await result.get_output() == "a"
        assert (result.usage.input_tokens, result.usage.output_tokens) == (11, 3)

    run(streaming(*pieces), body)


def test_each_request_of_an_agent_counts() -> None:
    async def script(call: Call) -> None:
        if call.body["messages"][-1]["role"] == "tool":
            await call.stream(*SAID)
        else:
            asked = chunk(tool_call(0, id="1", name="now", arguments="{}"), usage=counts(5, 1))
            end = chunk({}, "tool_calls", usage=counts(5, 2))
            await call.stream(event(asked), event(end), DONE)

    def now() -> str:
        return "noon"

    async def body(server: Upstream) -> tuple[int, int]:
        async with server.agent(tools=[now]).run_stream("Hello") as result:
            await result.get_output()
        return result.usage.input_tokens, result.usage.output_tokens

    assert run(script, body) == (16, 5)
