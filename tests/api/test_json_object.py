"""`response_format: json_object` on nodes whose output is JSON anyway, over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from pydantic_ai import PromptedOutput, ToolOutput

from launchpad.api.app import create_app
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.provider import build_model
from launchpad.testing import ScriptedUpstream, override_model
from launchpad.testing.server import Server, serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

from .conftest import chat, one_node, settings

PATH = "/v1/chat/completions"
JSON_OBJECT = {"response_format": {"type": "json_object"}}
JSON_SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }
}
CHUNKS = {"stream_options": {"valid_json_chunks": True}}
ANSWER = {"thinking": "so", "reply": "yes"}


class Answer(BaseModel):
    thinking: str
    reply: str


class WordsNode(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=str)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        async with self.agent.run_stream("Say words") as result:
            async for chunk in self.stream_text_deltas(result):
                yield chunk


class AnswerNode(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=Answer)


class OpenAnswerNode(AnswerNode):
    takes_client_form = True


class ToolAnswerNode(AnswerNode):
    takes_client_form = True

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=ToolOutput(Answer))


class PromptedAnswerNode(AnswerNode):
    takes_client_form = True

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=PromptedOutput(Answer))


class Mixed(Workflow):
    workflow_schema = WorkflowSchema(
        description="words, then an object",
        event_schema=OpenAIChatSchema,
        start=WordsNode,
        nodes=[NodeConfig(node=WordsNode, connections=[AnswerNode]), NodeConfig(node=AnswerNode)],
    )


class Answering(Enum):
    WORDS = one_node(WordsNode)
    MIXED = Mixed
    ANSWER = one_node(AnswerNode)
    OPEN = one_node(OpenAnswerNode)
    TOOL = one_node(ToolAnswerNode)
    PROMPTED = one_node(PromptedAnswerNode)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def answering(upstream: ScriptedUpstream) -> Iterator[Server]:
    config = AgentConfig(
        model_provider=ModelProvider.OPENAI_COMPATIBLE,
        model_name="scripted",
        base_url=upstream.base_url,
    )
    with override_model(build_model(config)):
        app = create_app(Answering, settings(default_workflow="answer"))
        with serve(app) as running:
            yield running


def ask(server: Server, model: str, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + PATH, json=chat(json.dumps(ANSWER), model=model, **fields))


def contents(answer: httpx.Response) -> list[str]:
    """Every chunk's content, after a look at the end."""
    assert answer.status_code == 200, answer.text
    *payloads, done = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
    assert done == "[DONE]"
    deltas = [json.loads(payload)["choices"][0]["delta"] for payload in payloads]
    return [delta["content"] for delta in deltas if "content" in delta]


@pytest.mark.parametrize("model", ["mixed", "answer"])
def test_document_003_s_request_on_a_structured_node(answering: Server, model: str) -> None:
    alone = contents(ask(answering, model, stream=True, **CHUNKS))
    with_format = contents(ask(answering, model, stream=True, **CHUNKS, **JSON_OBJECT))
    for seen in (alone, with_format):
        assert all(isinstance(json.loads(content), dict) for content in seen)
        # The words of a text node are left out.
        assert json.loads(seen[-1]) == ANSWER


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("answer", JSON_SCHEMA),
        ("mixed", JSON_SCHEMA | CHUNKS),
        ("mixed", JSON_OBJECT),
        ("answer", JSON_OBJECT | CHUNKS | {"stream": False}),
        ("words", JSON_OBJECT),
    ],
)
def test_a_format_that_cannot_be_honoured_is_refused(
    answering: Server, model: str, fields: dict[str, Any]
) -> None:
    answer = ask(answering, model, **fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("response_format", "unsupported_parameter")
    assert ("json_object" in error["message"]) == (model != "words")


@pytest.mark.parametrize("model", ["mixed", "answer", "open", "tool", "prompted"])
def test_json_object_changes_nothing_of_what_a_node_with_its_own_output_sends(
    answering: Server, upstream: ScriptedUpstream, model: str
) -> None:
    sent: list[list[Any]] = []
    for fields in (CHUNKS, CHUNKS | JSON_OBJECT):
        upstream.clear()
        before = len(upstream.requests)
        assert ask(answering, model, stream=True, **fields).status_code == 200
        upstream.wait_idle()
        sent.append([request.body for request in upstream.requests[before:]])
    assert sent[0] == sent[1]
    assert sent[0]
