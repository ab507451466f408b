"""What `launchpad.models` leans on that pydantic-ai does not promise.

If one of these fails after an upgrade, the file that its first lines name is the one to change.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import pydantic_ai
import pytest
from pydantic_ai import Agent, AgentRunResult, RunUsage, _framing, _instrumentation, _special_tokens
from pydantic_ai._agent_graph import GraphAgentState, get_captured_run_messages
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import StreamedResponse
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.result import StreamedRunResult
from pydantic_ai.run import AgentRun

from launchpad.models.agents import followed, prepared, settled_run
from launchpad.models.agents.unmade import Unmade
from launchpad.models.openai_compatible import special_tokens


def test_a_response_keeps_its_one_iterator_where_we_look_for_it() -> None:
    # launchpad/models/live/responses.py
    async def main() -> None:
        async with Agent(TestModel()).run_stream("Hi") as result:
            await result.get_output()

    asyncio.run(main())
    assert "_event_iterator" in StreamedResponse.__dataclass_fields__
    assert "self._event_iterator" in inspect.getsource(StreamedResponse.__aiter__)


def test_the_abstract_method_is_the_one_we_define() -> None:
    # launchpad/models/live/responses.py
    assert "_get_event_iterator" in StreamedResponse.__abstractmethods__


def test_the_characters_that_a_preparation_looks_for_are_known() -> None:
    # launchpad/models/agents/prepared.py: look into `Model.prepare_messages` for whatever else it
    # reads in plain questions and answers, then name the new version there.
    assert pydantic_ai.__version__.startswith(prepared._LOOKED_UP)
    tags = "".join(_framing._COULD_FOLD_TO_A_TAG)
    tokens = "".join(first.strip("\\") for first, _ in _special_tokens._token_shapes())
    assert tags
    assert tokens
    assert all(prepared._SUSPECT.search(character) for character in tags + tokens)
    assert _framing._lookalike_frame.pattern.startswith("<")


def test_each_response_of_a_conversation_is_mapped_by_the_method_we_extend() -> None:
    # launchpad/models/openai_compatible/reasoning_back.py
    assert "self._map_model_response(message)" in inspect.getsource(OpenAIChatModel._map_messages)


def test_a_result_asks_its_stream_for_no_more_than_there_is_without_a_run() -> None:
    # launchpad/models/agents/unmade.py
    source = inspect.getsource(StreamedRunResult)
    asked = set(re.findall(r"self\._stream_response\.(\w+)", source))
    asked |= set(re.findall(r"self\._stream_response\)\.(\w+)", source))
    assert asked
    assert asked <= set(dir(Unmade)) | {"run_id", "conversation_id"}
    assert "__dict__" in dir(StreamedRunResult)


def test_whoever_follows_a_run_is_found_where_we_look() -> None:
    # launchpad/models/agents/followed.py
    assert followed._captured is get_captured_run_messages
    assert followed._is_untouched(Agent)
    assert Agent._instrument_default is False
    assert Agent().instrument is None
    with pytest.raises(LookupError):
        get_captured_run_messages()


def test_a_result_is_made_of_a_state_that_tells_what_we_give_it() -> None:
    # launchpad/models/agents/settled_run.py
    assert settled_run._State is GraphAgentState
    said: list[Any] = [ModelRequest(parts=[UserPromptPart("Hi")])]
    state = settled_run._State(
        message_history=said, usage=RunUsage(requests=1), run_id="a", conversation_id="b"
    )
    result = AgentRunResult("c", _state=state, _new_message_index=0)
    assert (result.new_messages(), result.usage) == (said, RunUsage(requests=1))
    assert (result.run_id, result.conversation_id) == ("a", "b")


def test_the_span_that_a_result_names_is_told_by_the_function_that_we_ask() -> None:
    # launchpad/models/agents/settled_run.py
    assert settled_run._traceparent is _instrumentation.current_otel_traceparent
    assert "self._traceparent(required=False)" in inspect.getsource(AgentRun.result.fget)


def test_special_tokens_are_broken_by_the_function_that_we_ask() -> None:
    # launchpad/models/openai_compatible/special_tokens.py
    assert special_tokens._break is _special_tokens.break_special_tokens
    assert all(first.strip("\\") in "<[]" for first, _ in _special_tokens._token_shapes())
