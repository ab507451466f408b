"""LiteLLM's client, in an environment of its own; `litellm/scenarios.py` has what it asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launchpad.testing.server import Server

from .programs import Told, absent, prepare

# The first run on a machine installs it.
pytestmark = pytest.mark.timeout(480)

SCRIPT = Path(__file__).parent / "litellm" / "scenarios.py"
OWN_UV = Path(__file__).parents[2] / ".tools" / "bin" / "uv"


@pytest.fixture(scope="module")
def told(server: Server, locked_server: Server) -> Told:
    uv = shutil.which("uv") or (str(OWN_UV) if OWN_UV.is_file() else None)
    if uv is None:
        absent("uv is not installed")
    # Its prices would be fetched from the network at import.
    environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment.pop("VIRTUAL_ENV", None)
    python = ["--python", sys.executable]
    prepare([uv, "sync", "--script", str(SCRIPT), *python], "LiteLLM's environment cannot be made")
    facts = json.dumps({"baseURL": server.base_url, "lockedURL": locked_server.base_url})
    done = subprocess.run(
        [uv, "run", "--quiet", *python, "--script", str(SCRIPT), facts],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return Told(json.loads(done.stdout.splitlines()[-1]))


def test_answers(told: Told) -> None:
    assert told["answer"]["choices"][0]["message"]["content"] == "one two three"
    assert told["answer"]["usage"]["total_tokens"] > 0


def test_streams_with_usage(told: Told) -> None:
    assert "".join(text or "" for text in told["stream"]["deltas"]) == "one two three"
    whole = told["stream"]["whole"]
    assert whole["choices"][0]["message"]["content"] == "one two three"
    assert whole["choices"][0]["message"]["role"] == "assistant"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["total_tokens"] == told["answer"]["usage"]["total_tokens"]


def test_streams_async(told: Told) -> None:
    assert told["stream_async"] == "one two three"


def test_reasoning(told: Told) -> None:
    assert told["reasoning"] == ["Fine.", "let me think"]


def test_tools_make_the_round_trip(told: Told) -> None:
    assert told["tools"]["reason"] == "tool_calls"
    assert json.loads(told["tools"]["call"]) == {"city": "Paris"}
    assert told["tools"]["said"] == "get_weather says: sunny"


def test_streamed_tool_calls(told: Told) -> None:
    assert told["streamed_tools"]["reason"] == "tool_calls"
    calls = [json.loads(call) for call in told["streamed_tools"]["calls"]]
    assert calls == [{"city": "Paris"}, {"city": "Rome"}]


def test_structured_output(told: Told) -> None:
    assert told["structured"] == {"name": "John Doe", "age": 30}


def test_errors(told: Told) -> None:
    assert told["errors"] == {
        "missing": "NotFoundError",
        "limited": "RateLimitError",
        "key": "AuthenticationError",
    }
