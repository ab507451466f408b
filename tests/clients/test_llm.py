"""`llm`, the command line, told of the server by `extra-openai-models.yaml`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launchpad.testing.server import Server

MODELS = """
- model_id: launchpad
  model_name: gpt-4o
  api_base: {base_url}
  supports_tools: true
  supports_schema: true
- model_id: keyed
  model_name: gpt-4o
  api_base: {locked_url}
  api_key_name: launchpad
- model_id: nobody
  model_name: gpt-9
  api_base: {base_url}
"""

Llm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def llm(server: Server, locked_server: Server, tmp_path: Path) -> Llm:
    models = MODELS.format(base_url=server.base_url, locked_url=locked_server.base_url)
    (tmp_path / "extra-openai-models.yaml").write_text(models, encoding="utf-8")
    # Plugins are left out: the weights' package is one, and needs what Launchpad does not install.
    places = {"LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": "", "OPENAI_API_KEY": "any"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | places,
        )

    return run


def test_streams(llm: Llm) -> None:
    done = llm("-m", "launchpad", "-s", "Be brief.", "one two three", "-u")
    assert done.stdout.strip() == "one two three", done.stderr
    assert "Token usage:" in done.stderr


def test_does_not_stream_where_told(llm: Llm) -> None:
    options = ["--no-stream", "-o", "max_tokens", "50", "-o", "temperature", "0.5"]
    done = llm("-m", "launchpad", *options, "one two three")
    assert done.stdout.strip() == "one two three", done.stderr


def test_goes_on_with_a_conversation(llm: Llm) -> None:
    assert llm("-m", "launchpad", "one two three").returncode == 0
    done = llm("-c", "four five")
    assert done.stdout.strip() == "four five", done.stderr


def test_schema(llm: Llm) -> None:
    john = '{"name": "John Doe", "age": 30}'
    done = llm("-m", "launchpad", "--schema", "name, age int", f"This is {john}.")
    assert json.loads(done.stdout) == json.loads(john), done.stderr


def test_tools_make_the_round_trip(llm: Llm) -> None:
    code = 'def get_weather(city: str) -> str:\n    "The weather"\n    return "sunny in " + city'
    question = '!call get_weather {"city": "Paris"}'
    done = llm("-m", "launchpad", "--functions", code, question)
    assert done.stdout.strip() == "get_weather says: sunny in Paris", done.stderr


def test_errors(llm: Llm) -> None:
    wrong_key = llm("-m", "keyed", "--key", "wrong", "Hi")
    assert wrong_key.returncode != 0
    assert "The API key is not known" in wrong_key.stderr
    missing = llm("-m", "nobody", "Hi")
    assert missing.returncode != 0
    assert "gpt-9" in missing.stderr
