"""openai-node against a running server; `node/openai.mjs` has what it asks."""

from __future__ import annotations

import json

import pytest

from launchpad.testing import ScriptedUpstream
from launchpad.testing.server import Server
from launchpad.workflows.workflow_registry import WorkflowRegistry

from .conftest import was_left
from .javascript import run
from .programs import Told

# The first run on a machine installs the JavaScript clients.
pytestmark = pytest.mark.timeout(300)

JOHN = {"name": "John Doe", "age": 30}


@pytest.fixture(scope="module")
def told(server: Server, locked_server: Server) -> Told:
    return run("openai.mjs", baseURL=server.base_url, lockedURL=locked_server.base_url)


def test_lists_models(told: Told) -> None:
    assert told["models"] == [member.lower() for member in WorkflowRegistry.__members__]


def test_answers(told: Told) -> None:
    answer = told["answer"]
    assert answer["choices"][0]["message"]["content"] == "one two three"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] > 0


def test_streams_with_usage(told: Told) -> None:
    *chunks, usage = told["stream"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == "one two three"
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0


def test_n_choices(told: Told) -> None:
    assert [index for index, _ in told["choices"]] == [0, 1]
    assert all(len(text.split()) == 3 for _, text in told["choices"])


def test_stream_helper(told: Told) -> None:
    helped = told["streamHelper"]
    assert "".join(helped["deltas"]) == "one two three"
    assert helped["message"]["role"] == "assistant"
    assert helped["message"]["content"] == "one two three"
    assert helped["reason"] == "stop"


def test_parse(told: Told) -> None:
    assert told["parse"] == JOHN
    assert told["parseWhileStreaming"] == JOHN


def test_run_tools_makes_the_round_trip(told: Told) -> None:
    assert told["runTools"] == {"asked": ["Paris"], "said": "get_weather says: sunny in Paris"}


def test_tool_deltas(told: Told) -> None:
    deltas = told["toolDeltas"]
    assert deltas["reason"] == "tool_calls"
    assert [json.loads(call["arguments"]) for call in deltas["calls"]] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    assert len({call["id"] for call in deltas["calls"]}) == 2


def test_reads_before_the_end_and_leaves(told: Told, upstream: ScriptedUpstream) -> None:
    """The model hangs after two tokens: what was read came while it was at work."""
    assert told["abort"].startswith("hello")
    assert was_left(upstream, "hello my dear friend")


def test_errors(told: Told) -> None:
    assert told["errors"] == {
        "missing": ["NotFoundError", 404, "model_not_found"],
        "empty": ["BadRequestError", 400, "empty_array"],
        "limited": ["RateLimitError", 429, "rate_limit_exceeded"],
        "limitedWhileStreaming": ["RateLimitError", 429, "rate_limit_exceeded"],
        "broken": ["InternalServerError", 502, "upstream_error"],
        "key": ["AuthenticationError", 401, "invalid_api_key"],
    }


def test_an_error_in_mid_stream(told: Told) -> None:
    broken = told["errorInMidStream"]
    assert broken["said"].startswith("hello")
    assert broken["error"], broken


def test_document_003_s_javascript(told: Told) -> None:
    seen = told["document003"]
    assert seen[-1] == JOHN
    assert len(seen) > 4
