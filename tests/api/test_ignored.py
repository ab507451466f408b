"""`x-launchpad-ignored` names what the workflow's models are not asked with, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from launchpad.api.app import create_app
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.testing import ScriptedUpstream
from launchpad.testing.server import Server, serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

from .conftest import EchoNode, chat, one_node, settings

PATH = "/v1/chat/completions"
HEADER = "x-launchpad-ignored"
SAMPLING = {"temperature": 0.5, "seed": 3, "logit_bias": {"5": 1}, "top_p": 1}

# pydantic-ai says it too, as a warning, once for each set of parameters.
pytestmark = pytest.mark.filterwarnings("ignore:Sampling parameters")

where: dict[str, str] = {}


def asking(model: str, **more: Any) -> AgentConfig:
    return AgentConfig(
        model_provider=ModelProvider.OPENAI,
        model_name=model,
        base_url=where["base_url"],
        api_key="key",
        **more,
    )


class ThinkerNode(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return asking("o3-mini")


class ThinkingAgentNode(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return asking("gpt-5.1", model_settings={"openai_reasoning_effort": "low"})


class SamplerNode(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return asking("gpt-4o")


class ReadsTheRunNode(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return asking(self.task_context.event.model.replace("reads_the_run", "o3-mini"))


class BothWorkflow(Workflow):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema,
        start=ThinkerNode,
        nodes=[NodeConfig(node=ThinkerNode, connections=[SamplerNode])],
    )


FLOWS = {
    "thinker": one_node(ThinkerNode),
    "agent": one_node(ThinkingAgentNode),
    "sampler": one_node(SamplerNode),
    "both": BothWorkflow,
    "reads_the_run": one_node(ReadsTheRunNode),
    "echo": one_node(EchoNode),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        where["base_url"] = running.base_url
        yield running


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream) -> Iterator[Server]:
    with serve(create_app(FLOWS, settings())) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        ("thinker", SAMPLING, ["temperature", "top_p", "logit_bias"]),
        ("thinker", {"seed": 3, "max_tokens": 9, "user": "u"}, []),
        ("thinker", {"temperature": 1, "store": True}, ["temperature", "store"]),
        ("agent", SAMPLING, ["temperature", "top_p", "logit_bias"]),
        # The client's wish wins over the agent's own effort, and sampling counts again.
        ("agent", {**SAMPLING, "reasoning_effort": "none"}, []),
        ("sampler", {**SAMPLING, "reasoning_effort": "low"}, []),
        ("sampler", {"reasoning_effort": "none"}, []),
        ("both", SAMPLING, []),
        ("reads_the_run", SAMPLING, []),
        ("echo", SAMPLING, ["temperature", "top_p", "seed", "logit_bias"]),
    ],
)
def test_it_names_what_no_model_takes(
    client: httpx.Client, model: str, fields: dict[str, Any], named: list[str], stream: bool
) -> None:
    answer = client.post(PATH, json=chat(model=model, stream=stream, **fields))
    assert answer.status_code == 200
    assert answer.headers.get(HEADER, "") == ", ".join(named)


def test_what_is_not_named_reaches_the_model(
    client: httpx.Client, upstream: ScriptedUpstream
) -> None:
    answer = client.post(PATH, json=chat(model="agent", **SAMPLING, reasoning_effort="none"))
    sent = upstream.requests[-1].body
    assert HEADER not in answer.headers
    assert sent["reasoning_effort"] == "none"
    assert set(SAMPLING) <= sent.keys()
    answer = client.post(PATH, json=chat(model="thinker", **SAMPLING))
    sent = upstream.requests[-1].body
    named = answer.headers[HEADER].split(", ")
    assert {name for name in SAMPLING if name not in sent} == set(named)


@pytest.mark.parametrize("effort", ["none", "low"])
def test_an_effort_reaches_a_model_of_which_nothing_is_known(
    client: httpx.Client, upstream: ScriptedUpstream, effort: str
) -> None:
    client.post(PATH, json=chat(model="sampler", reasoning_effort=effort))
    assert upstream.requests[-1].body["reasoning_effort"] == effort
