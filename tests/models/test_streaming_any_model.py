"""`StreamingModel` over models that are not ours, and an agent's whole loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ToolDefinition
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import StreamedResponse
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingPart,
    DeltaToolCall,
    FunctionModel,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.errors import UpstreamError
from launchpad.events import (
    Delta,
    JsonDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from launchpad.models.agents.events import stream_agent_events
from launchpad.models.agents.streaming_model import StreamingModel, live_stream
from launchpad.models.openai_compatible.watchdog import Patience
from launchpad.models.scope import RequestScope, request_scope
from launchpad.models.watched import WatchedModel
from launchpad.testing import ScriptedModel

N = "Node"


class Out(BaseModel):
    name: str


def says(*pieces: Any) -> FunctionModel:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return FunctionModel(stream_function=stream)


async def hear(agent: Agent[Any, Any], structured: bool = False) -> tuple[list[Delta], Any, Any]:
    async with agent.run_stream("Hello") as result:
        live = live_stream(result.run_id)
        assert live is not None
        heard = [one async for one in live.events(N, structured=structured)]
        output = await result.get_output()
        return heard, output, (live, result.usage)


def test_a_refusals_words() -> None:
    async def main() -> None:
        agent = Agent(StreamingModel(ScriptedModel()))
        async with agent.run_stream("!refuse not that") as result:
            live = live_stream(result.run_id)
            assert live is not None
            heard = [one async for one in live.events(N, structured=False)]
        assert heard == [RefusalDelta(N, "not that")]
        assert (live.refused, live.finish_reason) == (True, "stop")
        assert live.usage is not None

    asyncio.run(main())


class GivesUp(WrapperModel):
    """Says what it wraps, and that the provider gave the answer up."""

    @asynccontextmanager
    async def request_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[StreamedResponse]:
        async with super().request_stream(*args, **kwargs) as response:
            response.finish_reason = "error"
            response.provider_details = {"finish_reason": "MALFORMED_FUNCTION_CALL"}
            yield response


def test_an_answer_that_its_provider_gave_up() -> None:
    heard: list[Delta] = []

    async def main() -> None:
        agent = Agent(StreamingModel(GivesUp(says("a", "b"))))
        async with agent.run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for one in live.events(N, structured=False):
                heard.append(one)  # noqa: PERF401 - an error follows, which would take a list along

    with pytest.raises(UpstreamError, match="ended early") as failure:
        asyncio.run(main())
    assert heard == [TextDelta(N, "a"), TextDelta(N, "b")]
    assert failure.value.detail == "its finish reason is 'MALFORMED_FUNCTION_CALL'"


def test_text_and_thinking() -> None:
    agent = Agent(StreamingModel(says({0: DeltaThinkingPart(content="hm")}, "a", "b")))
    heard, output, (live, usage) = asyncio.run(hear(agent))
    assert heard == [ReasoningDelta(N, "hm"), TextDelta(N, "a"), TextDelta(N, "b")]
    assert output == "ab"
    assert live.usage is not None
    assert live.usage.output_tokens == usage.output_tokens


def test_structured_output_through_a_tool() -> None:
    model = says(
        {0: DeltaToolCall(name="final_result", json_args="", tool_call_id="1")},
        {0: DeltaToolCall(json_args='{"name":')},
        {0: DeltaToolCall(json_args=' "Joe"}')},
    )
    agent = Agent(StreamingModel(model), output_type=Out)
    heard, output, _ = asyncio.run(hear(agent, structured=True))
    assert heard == [JsonDelta(N, '{"name":'), JsonDelta(N, ' "Joe"}')]
    assert output == Out(name="Joe")


def test_pydantic_ais_test_model() -> None:
    heard, output, _ = asyncio.run(hear(Agent(StreamingModel(TestModel()))))
    assert "".join(one.text for one in heard if isinstance(one, TextDelta)) == output


def test_a_providers_error_becomes_ours() -> None:
    agent = Agent(StreamingModel(says("a", ModelHTTPError(429, "m", headers={"retry-after": "2"}))))

    async def main() -> None:
        async with agent.run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for _ in live.events(N, structured=False):
                pass

    with pytest.raises(UpstreamError) as caught:
        asyncio.run(main())
    assert (caught.value.status, caught.value.retry_after) == (429, 2.0)


@pytest.mark.parametrize(
    ("pieces", "code"),
    [(["a"], "upstream_cut"), (["a", KeyError("choices")], "upstream_error")],
    ids=["no finish reason", "what the SDK cannot map"],
)
def test_a_providers_answer_that_ends_early_or_cannot_be_read(pieces: Any, code: str) -> None:
    model = WatchedModel(says(*pieces), Patience(60.0, 60.0, 60.0))

    heard: list[Delta] = []

    async def main() -> None:
        async with Agent(StreamingModel(model)).run_stream("Hello") as result:
            live = live_stream(result.run_id)
            assert live is not None
            async for batch in live.batches(N, structured=False):
                heard.extend(batch)

    with pytest.raises(UpstreamError) as caught:
        asyncio.run(main())
    assert caught.value.code == code
    assert heard == [TextDelta(N, "a")]


def test_calls_of_the_clients_tools() -> None:
    model = says(
        {0: DeltaToolCall(name="weather", json_args="{", tool_call_id="1")},
        {0: DeltaToolCall(json_args="}")},
    )
    agent = Agent(StreamingModel(model, allow_client_form=True))
    tool = ToolDefinition(name="weather")

    async def main() -> Any:
        request_scope.set(RequestScope(client_tools=[tool]))
        return await hear(agent)

    heard, output, _ = asyncio.run(main())
    assert heard == [ToolCallDelta(N, 0, "{", "1", "weather"), ToolCallDelta(N, 0, "}")]
    assert output == ""


def test_the_clients_form_does_not_reach_a_model_that_does_not_allow_it() -> None:
    seen: list[AgentInfo] = []

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.append(info)
        yield "a"

    agent = Agent(StreamingModel(FunctionModel(stream_function=stream)))

    async def main() -> Any:
        scope = RequestScope(
            client_tools=[ToolDefinition(name="weather")],
            response_format={"type": "json_object"},
            settings={"temperature": 0.5},
        )
        request_scope.set(scope)
        return await hear(agent)

    asyncio.run(main())
    assert seen[0].function_tools == []
    assert seen[0].model_settings == {"temperature": 0.5}


def test_a_live_stream_is_gone_when_its_run_has_ended() -> None:
    agent = Agent(StreamingModel(says("a", "b")))

    async def main() -> None:
        async with agent.run_stream("Hello") as result:
            run_id = result.run_id
            assert live_stream(run_id) is not None
        assert live_stream(run_id) is None
        async with agent.run_stream("Hello") as result:
            run_id = result.run_id
            await result.get_output()
        del result
        gc.collect()
        assert live_stream(run_id) is None

    asyncio.run(main())


def test_two_runs_at_once_have_their_own_streams() -> None:
    agent = Agent(StreamingModel(says("a", "b")))

    async def main() -> Any:
        return await asyncio.gather(*(hear(agent) for _ in range(20)))

    for heard, output, _ in asyncio.run(main()):
        assert heard == [TextDelta(N, "a"), TextDelta(N, "b")]
        assert output == "ab"


def tooled(*answers: list[Any], **kwargs: Any) -> Agent[Any, Any]:
    waiting = list(answers)

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        for piece in waiting.pop(0):
            yield piece

    agent: Agent[Any, Any] = Agent(StreamingModel(FunctionModel(stream_function=stream)), **kwargs)

    @agent.tool_plain
    def look(where: str) -> str:
        return f"nothing in {where}"

    return agent


LOOK = {1: DeltaToolCall(name="look", json_args='{"where": "box"}', tool_call_id="1")}


def test_an_agents_whole_loop() -> None:
    agent = tooled(["Let me look. ", LOOK], ["It is ", "empty."])

    async def main() -> Any:
        events = stream_agent_events(agent, "Hello", node=N)
        return [one async for one in events], events

    heard, events = asyncio.run(main())
    assert heard == [
        TextDelta(N, "Let me look. "),
        TextDelta(N, "It is "),
        TextDelta(N, "empty."),
    ]
    assert events.result.output == "It is empty."


def test_an_agents_whole_loop_with_structured_output() -> None:
    final = [
        {0: DeltaToolCall(name="final_result", json_args='{"na', tool_call_id="2")},
        {0: DeltaToolCall(json_args='me": "Joe"}')},
    ]
    agent = tooled([LOOK], final, output_type=Out)

    async def main() -> Any:
        events = stream_agent_events(agent, "Hello", node=N, structured=True)
        return [one async for one in events], events

    heard, events = asyncio.run(main())
    assert heard == [JsonDelta(N, '{"na'), JsonDelta(N, 'me": "Joe"}')]
    assert events.result.output == Out(name="Joe")
