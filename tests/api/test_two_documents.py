"""A node that streams two structured results, one after the other, under `valid_json_chunks`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from launchpad.api.app import create_app
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.task import TaskContext
from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.provider import build_model
from launchpad.testing import ScriptedUpstream, override_model
from launchpad.testing.server import Server, serve
from launchpad.testing.steps import Chunk, Finish

from .conftest import chat, one_node, settings

PATH = "/v1/chat/completions"
FIRST, SECOND = '{"title": "Soup", "steps": ["cut", "boil"]}', '{"title": "Tea", "steps": []}'


class Recipe(BaseModel):
    title: str
    steps: list[str]


class TwiceNode(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=Recipe)

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        for _ in range(2):
            async with self.agent.run_stream("A recipe") as result:
                async for chunk in self.stream_structured_deltas(result):
                    yield chunk


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def server(upstream: ScriptedUpstream) -> Iterator[Server]:
    config = AgentConfig(
        model_provider=ModelProvider.OPENAI_COMPATIBLE,
        model_name="scripted",
        base_url=upstream.base_url,
    )
    with (
        override_model(build_model(config)),
        serve(
            create_app({"twice": one_node(TwiceNode)}, settings(default_workflow="twice"))
        ) as running,
    ):
        yield running


def pieces(text: str) -> list[Chunk]:
    return [Chunk(text[at : at + 5]) for at in range(0, len(text), 5)]


def streamed(client: httpx.Client, **options: Any) -> list[Any]:
    """The chunks, and whatever ends them."""
    answer = client.post(PATH, json=chat(model="twice", stream=True, stream_options=options))
    assert answer.status_code == 200
    found = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in found]


def test_the_second_begins_a_new_object_after_the_first_is_whole(
    client: httpx.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(*pieces(FIRST), Finish("stop"))
    upstream.script(*pieces(SECOND), Finish("stop"))
    *chunks, done = streamed(client, valid_json_chunks=True)
    assert done == "[DONE]"
    seen = [json.loads(chunk["choices"][0]["delta"]["content"]) for chunk in chunks]
    turn = max(at for at, one in enumerate(seen) if one.get("title", "").startswith("S"))
    assert seen[turn] == json.loads(FIRST)
    assert all(len(str(a)) <= len(str(b)) for a, b in pairwise(seen[:turn]))
    assert "Soup" not in str(seen[turn + 1 :])
    assert seen[-1] == json.loads(SECOND)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert {chunk["launchpad"]["node"] for chunk in chunks} == {"TwiceNode"}


def test_after_a_first_one_that_was_cut_off_the_run_ends_in_an_error(
    client: httpx.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(Chunk('{"title": "Soup", "steps": ["c'), Finish("length"))
    upstream.script(*pieces(SECOND), Finish("stop"))
    *chunks, failure = streamed(client, valid_json_chunks=True)
    assert failure["error"]["code"] == "invalid_output"
    assert all(json.loads(chunk["choices"][0]["delta"]["content"]) for chunk in chunks)


def test_without_it_they_follow_each_other(
    client: httpx.Client, upstream: ScriptedUpstream
) -> None:
    upstream.script(*pieces(FIRST), Finish("stop"))
    upstream.script(*pieces(SECOND), Finish("stop"))
    *chunks, _ = streamed(client)
    said = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(said) == FIRST + SECOND
