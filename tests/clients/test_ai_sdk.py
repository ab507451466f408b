"""The AI SDK's openai-compatible provider; `node/ai_sdk.mjs` has what it asks."""

from __future__ import annotations

import pytest

from launchpad.testing import ScriptedUpstream
from launchpad.testing.server import Server

from .conftest import was_left
from .javascript import run
from .programs import Told

# The first run on a machine installs the JavaScript clients.
pytestmark = pytest.mark.timeout(300)

JOHN = {"name": "John Doe", "age": 30}


@pytest.fixture(scope="module")
def told(server: Server, locked_server: Server) -> Told:
    return run("ai_sdk.mjs", baseURL=server.base_url, lockedURL=locked_server.base_url)


def test_generate_text(told: Told) -> None:
    assert told["text"]["text"] == "one two three"
    assert told["text"]["finishReason"] == "stop"
    assert told["text"]["usage"]["totalTokens"] > 0


def test_stream_text_with_usage(told: Told) -> None:
    assert "".join(told["stream"]["deltas"]) == "one two three"
    assert len(told["stream"]["deltas"]) > 1
    assert told["stream"]["reason"] == "stop"
    assert told["stream"]["usage"]["totalTokens"] > 0


def test_reasoning(told: Told) -> None:
    assert told["reasoning"] == {"text": "Fine, thanks.", "reasoning": "let me think"}


def test_cut_by_length(told: Told) -> None:
    assert told["cutByLength"]["reason"] == "length"
    assert "four" not in told["cutByLength"]["text"]


def test_tools_make_the_round_trip(told: Told) -> None:
    assert told["tools"] == {
        "text": "get_weather says: sunny in Paris",
        "asked": ["Paris"],
        "steps": 2,
    }


def test_streamed_tools_make_the_round_trip(told: Told) -> None:
    streamed = told["streamedTools"]
    assert streamed["asked"] == ["Paris", "Rome"]
    assert streamed["text"] == ("get_weather says: sunny in Paris\nget_weather says: sunny in Rome")
    assert {"tool-input-start", "tool-input-delta", "tool-call", "tool-result"} <= set(
        streamed["kinds"]
    )


def test_tool_choice(told: Told) -> None:
    assert told["toolChoice"] == ["get_time"]


def test_generate_object(told: Told) -> None:
    assert told["object"] == JOHN
    assert set(told["objectInJsonMode"]) == set(JOHN)


def test_stream_object(told: Told) -> None:
    assert told["streamedObject"]["object"] == JOHN
    assert len(told["streamedObject"]["partial"]) > 2


def test_errors(told: Told) -> None:
    errors = told["errors"]
    assert {name: error[:2] for name, error in errors.items()} == {
        "missing": [True, 404],
        "limited": [True, 429],
        "key": [True, 401],
    }
    assert "gpt-9" in errors["missing"][2]


def test_an_error_in_mid_stream(told: Told) -> None:
    assert told["errorInMidStream"]["text"].startswith("hello")
    assert len(told["errorInMidStream"]["errors"]) == 1


def test_reads_before_the_end_and_leaves(told: Told, upstream: ScriptedUpstream) -> None:
    """The model hangs after two tokens: what was read came while it was at work."""
    assert told["abort"].startswith("hello")
    assert was_left(upstream, "hello my dear friend")
