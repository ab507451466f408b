"""The shipped examples on the real model inside the machine, over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from launchpad.settings import Settings
from launchpad.testing import serve
from launchpad.testing.server import Server
from launchpad.testing.sse import open_stream
from launchpad.workflows.workflow_registry import WorkflowRegistry

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(300)]

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server(local_model: str) -> Iterator[Server]:
    from launchpad.api.app import create_app

    with serve(create_app(WorkflowRegistry, Settings(_env_file=None, model="local"))) as running:
        yield running


def body(model: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello, how are you?"}]
    return {"model": model, "messages": messages, **fields}


def told(data: str) -> tuple[str, str]:
    chunk = json.loads(data)
    node = chunk.get("launchpad", {}).get("node", "")
    return node, chunk["choices"][0]["delta"].get("content") or ""


def test_text_leaves_token_by_token_before_the_model_has_finished(server: Server) -> None:
    with open_stream(server.url + PATH, body("chat", stream=True, max_tokens=24)) as stream:
        events = [stream.next_event(timeout=120)]
        while events[-1].data != "[DONE]":
            events.append(stream.next_event(timeout=120))
    spoken = [event for event in events[:-1] if told(event.data)[1]]
    assert len(spoken) >= 5
    # The model takes milliseconds a token: the last word cannot have been there with the first.
    assert spoken[0].received_at < spoken[-1].received_at


def test_the_structured_node_speaks_before_its_first_field_is_complete(server: Server) -> None:
    said = ""
    with open_stream(server.url + PATH, body("default", max_tokens=48)) as stream:
        while (event := stream.next_event(timeout=120)).data != "[DONE]":
            node, text = told(event.data)
            if node == "StructuredStreamingNode":
                said += text
                if said.strip():
                    break
    assert said.strip().startswith("{")
    assert '",' not in said


def test_two_clients_at_once_are_both_answered(server: Server) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(server.url + PATH, json=body("chat", max_tokens=16), timeout=120))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        choice = answer.json()["choices"][0]
        assert choice["message"]["content"].strip()
        assert choice["finish_reason"] in {"stop", "length"}
        assert answer.json()["usage"]["completion_tokens"] <= 16
    assert len(answers) == 2


def test_document_001_s_curl_streams_both_nodes(server: Server) -> None:
    # No `stream` in the request: this workflow streams by default.
    words: dict[str, str] = {}
    with open_stream(server.url + PATH, body("default", max_tokens=160)) as stream:
        while (event := stream.next_event(timeout=120)).data != "[DONE]":
            node, text = told(event.data)
            words[node] = words.get(node, "") + text
    assert words["TextStreamingNode"].strip()
    assert words["StructuredStreamingNode"].strip().startswith("{")


def test_the_second_node_sees_the_first_one_s_output(server: Server) -> None:
    from launchpad.core.nodes.agent import AgentConfig
    from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
    from launchpad.core.nodes.base import Node
    from launchpad.core.schema import NodeConfig, WorkflowSchema
    from launchpad.core.task import TaskContext
    from launchpad.core.workflow import Workflow
    from launchpad.wire.openai_chat.schema import OpenAIChatSchema

    class Speaker(AgentStreamingNode):
        def get_agent_config(self) -> AgentConfig:
            return AgentConfig(model_settings={"max_tokens": 12})

    class Listener(Node):
        async def process(self, task_context: TaskContext) -> Any:
            self.save_output(f"heard: {self.get_output(Speaker)}")

    class Pair(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema,
            start=Speaker,
            nodes=[NodeConfig(node=Speaker, connections=[Listener])],
        )

    context = Pair().run(body("pair"))
    assert context.get_output(Speaker).strip()
    assert context.get_output(Listener) == f"heard: {context.get_output(Speaker)}"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (
            "image",
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ),
        ("audio", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        ("file", {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a.pdf"}}),
    ],
)
@pytest.mark.parametrize("model", ["chat", "routing"])
def test_what_the_model_cannot_read_is_the_client_s_error(
    server: Server, model: str, kind: str, part: dict[str, Any]
) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    answer = httpx.post(f"{server.url}{PATH}", json={"model": model, "messages": messages})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("unsupported_content", "invalid_request_error")
    assert f"The model takes no {kind} input." in error["message"]
