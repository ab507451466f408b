"""What a provider says of its own failure: in the log, not in the client's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.core.conftest import config, upstream_now
from tests.core.flows import chat_events_of, chat_flow

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.events import RunFailed
from launchpad.testing.steps import Chunk, Event, Status

pytestmark = pytest.mark.usefixtures("upstream")

WORDS = "the engine is dead"
OPENAI = {"error": {"message": WORDS, "type": "server_error", "code": 500}}
OLDER_VLLM = {"object": "error", "message": WORDS, "type": "InternalServerError", "code": 500}


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Streaming(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Quiet(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


def failure_of(node: type[Node], *steps: Any) -> RunFailed:
    upstream_now().script(*steps)
    failure = chat_events_of(chat_flow(node))[-1]
    assert isinstance(failure, RunFailed)
    return failure


@pytest.mark.parametrize("node", [Direct, Streaming, Quiet])
@pytest.mark.parametrize("body", [OPENAI, OLDER_VLLM], ids=["openai", "older vllm"])
@pytest.mark.parametrize("how", ["status", "event", "late"])
def test_the_log_has_them_alone(
    node: type[Node], body: dict[str, Any], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps: dict[str, list[Any]] = {
        "status": [Status(500, body=json.dumps(body).encode())],
        "event": [Event(body)],
        "late": [Chunk("one"), Event(body)],
    }
    failure = failure_of(node, *steps[how])
    assert failure.code == "upstream_error"
    assert failure.message == f"{node.__name__}: The model provider failed."
    line = f"failed: {node.__name__}: The model provider failed. It said: {WORDS}"
    assert [one for one in caplog.messages if one.endswith(line)]


def test_not_where_a_key_is_in_them(caplog: pytest.LogCaptureFixture) -> None:
    message = "Incorrect API key provided: sk-abcdef123456"
    body = json.dumps({"error": {"message": message}}).encode()
    assert failure_of(Direct, Status(401, body=body)).code == "upstream_authentication"
    assert "credentials" in caplog.text
    assert "sk-abc" not in caplog.text


def test_not_twice(caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"error": {"message": "top_p is too high"}}).encode()
    assert failure_of(Direct, Status(400, body=body)).message == "Direct: top_p is too high"
    assert caplog.text.count("top_p is too high") == 1
