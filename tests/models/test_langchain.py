"""`chat_model()`: the configured model as LangChain's, behind a node, on a scripted upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.runnables import Runnable

from launchpad.api.app import create_app
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.models.langchain import chat_model
from launchpad.settings import Settings, use_settings
from launchpad.testing import ScriptedUpstream, serve
from launchpad.testing.steps import Chunk, Finish, Status, ToolDelta, UsageStep
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

pytest.importorskip("langchain_openai")

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        yield scripted


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"model": "openai:scripted", "debounce": 0.0, **changes})


def workflow(make: Callable[[], Runnable[Any, Any]]) -> type[Workflow]:
    class ChainNode(LangChainStreamingNode):
        def get_runnable(self) -> Runnable[Any, Any]:
            return make()

    class ChainWorkflow(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema, start=ChainNode, nodes=[NodeConfig(node=ChainNode)]
        )

    return ChainWorkflow


def ask(
    make: Callable[[], Runnable[Any, Any]], *, model: str = "openai:scripted", **fields: Any
) -> httpx.Response:
    app = create_app({"chain": workflow(make)}, settings(model=model))
    with serve(app) as server:
        body = {"messages": MESSAGES, **fields}
        return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=30)


def test_counts_are_asked_for_and_a_server_of_one_s_own_needs_no_key(
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(Chunk("Hel"), Chunk("lo"), Finish("length"), UsageStep(5, 2))
    answer = ask(lambda: chat_model(temperature=0.5) | StrOutputParser()).json()
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2
    asked = upstream.requests[0].body
    assert asked["model"] == "scripted"
    assert asked["temperature"] == 0.5
    assert asked["stream_options"] == {"include_usage": True}


def test_the_server_s_own_setting_is_the_default_and_a_name_wins(
    upstream: ScriptedUpstream,
) -> None:
    ask(chat_model, model="openai:one")
    ask(lambda: chat_model("openai:two"))
    assert [request.body["model"] for request in upstream.requests] == ["one", "two"]


def test_other_openai_compatible_providers(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", upstream.base_url)
    monkeypatch.delenv("OPENAI_BASE_URL")
    answer = ask(lambda: chat_model("ollama:llama")).json()
    assert answer["choices"][0]["message"]["content"] == "Hi"
    assert upstream.requests[0].body["model"] == "llama"


def test_what_cannot_be_built_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for model, said in (
        ("openai:x", "set OPENAI_API_KEY"),
        ("openrouter:x", "set OPENROUTER_API_KEY"),
        ("openai:", "names no model"),
        ("nonsense:x", "names no known model provider"),
        ("openai-compatible:x", "base_url"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            chat_model(model)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    with pytest.raises(ConfigurationError, match="its own LangChain package"):
        chat_model("anthropic:claude")


def test_one_loop_after_another(upstream: ScriptedUpstream) -> None:
    flow = workflow(chat_model)

    async def twice() -> list[Any]:
        use_settings(settings())
        contexts = [await flow().run_async({"messages": MESSAGES}) for _ in range(2)]
        return [next(iter(context.nodes.values())) for context in contexts]

    assert [asyncio.run(twice()) for _ in range(3)] == [["Hi", "Hi"]] * 3
    # Each loop closes its own connection, without a lifespan too.
    upstream.wait_closed()
    assert len(upstream.requests) == 6


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("step", "status", "said"),
    [
        (Status(401), 502, "credentials"),
        (Status(429, {"retry-after": "7"}), 429, "rate limit"),
        (Status(400, message="too long"), 400, "too long"),
        (Status(500), 502, "failed"),
    ],
    ids=["401", "429", "400", "500"],
)
def test_an_upstream_s_failure_keeps_its_meaning(
    upstream: ScriptedUpstream, step: Status, status: int, said: str, stream: bool
) -> None:
    upstream.script(step)
    answer = ask(lambda: chat_model() | StrOutputParser(), stream=stream)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("said", ["nan", "inf", "-inf", "-5", "soon", "1e999"])
def test_a_retry_after_that_is_no_time_is_left_out(upstream: ScriptedUpstream, said: str) -> None:
    upstream.script(Status(429, {"retry-after": said}))
    answer = ask(chat_model)
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


def test_tool_calls_of_a_chain_are_the_client_s(upstream: ScriptedUpstream) -> None:
    tool = {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}
    upstream.script(
        ToolDelta(0, id="c1", name="time"), ToolDelta(0, '{"zone"'), ToolDelta(0, ': "CET"}')
    )
    (choice,) = ask(lambda: chat_model().bind_tools([tool])).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("c1", "time")
    assert json.loads(call["function"]["arguments"]) == {"zone": "CET"}


def test_a_chain_of_json_streams_valid_json_chunks(upstream: ScriptedUpstream) -> None:
    upstream.script(*[Chunk(piece) for piece in ('{"name": "A', 'da", "age', '": 3', "6}")])
    options = {"valid_json_chunks": True}
    answer = ask(lambda: chat_model() | JsonOutputParser(), stream=True, stream_options=options)
    chunks = [line[6:] for line in answer.text.split("\n") if line.startswith("data: {")]
    objects = [json.loads(json.loads(chunk)["choices"][0]["delta"]["content"]) for chunk in chunks]
    assert objects[-1] == {"name": "Ada", "age": 36}
    assert {"name": "A"} in objects
