"""What a provider says of its own failure: in the log, not in the client's answer."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.core.conftest import config, upstream_now
from tests.core.flows import chat_events_of, chat_flow

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.events import RunFailed
from launchpad.testing.steps import Chunk, Die, Event, Status

pytestmark = pytest.mark.usefixtures("upstream")

WORDS = "the engine is dead"
OPENAI = {"error": {"message": WORDS, "type": "server_error", "code": 500}}
OLDER_VLLM = {"object": "error", "message": WORDS, "type": "InternalServerError", "code": 500}


_changes: dict[str, Any] = {}


@contextmanager
def configured(**changes: Any) -> Iterator[None]:
    """Inside, the nodes' models are configured with `changes`."""
    _changes.update(changes)
    try:
        yield
    finally:
        _changes.clear()


class Direct(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(**_changes)


class Streaming(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(**_changes)


class Quiet(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config(**_changes)


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


@pytest.mark.parametrize("node", [Direct, Streaming, Quiet])
@pytest.mark.parametrize(
    ("status", "words"),
    [(307, "HTTP status 307, a redirect, which is not followed"), (521, "HTTP status 521")],
)
def test_where_there_are_none_the_status_stands_for_them(
    node: type[Node], status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    failure = failure_of(node, Status(status, body=b"<html>"))
    assert failure.message == f"{node.__name__}: The model provider failed."
    assert [one for one in caplog.messages if one.endswith(f"failed. It said: {words}")]


def test_not_twice(caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"error": {"message": "top_p is too high"}}).encode()
    assert failure_of(Direct, Status(400, body=body)).message == "Direct: top_p is too high"
    assert caplog.text.count("top_p is too high") == 1


def why(caplog: pytest.LogCaptureFixture) -> str:
    """What the log has behind the sentence that the client got."""
    (line,) = [one for one in caplog.messages if " failed: " in one]
    return line.partition(" Cause: ")[2]


@pytest.mark.parametrize("node", [Direct, Streaming, Quiet])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/v1", "ConnectionRefusedError: .*111"),
        ("http://no.such.host.invalid/v1", "gaierror: .*(known|resolution|address)"),
        ("ftp://127.0.0.1/v1", "ValueError: ftp://127.0.0.1 is no http or https address"),
        ("http://127.0.0.1:99999/v1", "ValueError: Port out of range"),
    ],
)
def test_the_log_says_why_a_model_could_not_be_reached(
    node: type[Node], url: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with configured(base_url=url):
        failure = failure_of(node)
    assert failure.message == f"{node.__name__}: The model provider could not be reached."
    assert re.search(words, why(caplog))
    assert "Traceback" not in caplog.text


def test_the_log_says_what_the_proxy_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=refuse, args=(server,))
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter22@127.0.0.1:{server.getsockname()[1]}")
        with configured(base_url="https://far.test/v1"):
            failure = failure_of(Direct)
        thread.join()
    assert failure.message == "Direct: The model provider could not be reached."
    assert why(caplog).startswith("ProxyRefusedError: the proxy said 'HTTP/1.1 407")
    assert "hunter22" not in caplog.text


def test_the_log_says_that_the_connection_broke(caplog: pytest.LogCaptureFixture) -> None:
    assert failure_of(Direct, Die(reset=False)).code == "upstream_error"
    assert why(caplog) == "BrokenConnectionError: the upstream closed the connection"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of open files are POSIX's")
@pytest.mark.parametrize("node", [Direct, Streaming, Quiet])
def test_no_file_left_for_a_connection_is_this_server_s_own_lack(
    node: type[Node], caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    class Starved(node):  # type: ignore[misc, valid-type]
        async def process(self, task_context: Any) -> Any:
            # The lowest that is free: none above it may be opened from now on.
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
            try:
                said = super().process(task_context)
                if hasattr(said, "__aiter__"):
                    async for one in said:
                        raise AssertionError(one)
                else:
                    await said
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)

    failure = failure_of(Starved)
    assert (failure.status, failure.code, failure.retry_after) == (503, "overloaded", 1.0)
    assert "too many connections" in failure.message
    assert why(caplog).startswith("OSError: [Errno 24] Too many open files")
    assert "Traceback" not in caplog.text
