"""Retries and fallbacks: before the first content, never after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from launchpad.core.nodes.agent import AgentConfig, AgentNode, ModelProvider, RetryPolicy
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.errors import ConfigurationError
from launchpad.models.provider import build_model, check_config
from launchpad.observe.metrics import metrics
from launchpad.settings import Settings
from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Chunk, Die, ErrorEvent, Hang, Head, Raw, Status, Step, WaitFor

from .flows import chain
from .harness import CHAT, Served, chat, eventually

QUICK = RetryPolicy(attempts=3, backoff=0.01, max_retry_after=1.5)


class Second:
    """Where the second upstream is; set by the fixture."""

    url = ""


def config(**more: Any) -> AgentConfig:
    return AgentConfig(
        fallbacks=[
            AgentConfig(
                model_provider=ModelProvider.OPENAI_COMPATIBLE,
                model_name="second",
                base_url=Second.url,
            )
        ],
        **more,
    )


class Retries(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(retry=QUICK)


class RetriesDirect(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(retry=QUICK)


class RetriesWhole(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(retry=QUICK)


class FallsBack(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class FallsBackDirect(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class FallsBackWhole(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Both(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config(retry=QUICK)


class Reply(BaseModel):
    reply: str


class Structured(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=Reply, fallbacks=["other-name"])

    async def process(self, task_context: Any) -> Any:
        async with self.agent.run_stream("Hi") as result:
            async for event in self.stream_structured_deltas(result):
                yield event


FLOWS = {
    "retry": chain(Retries),
    "retry-direct": chain(RetriesDirect),
    "retry-whole": chain(RetriesWhole),
    "fall": chain(FallsBack),
    "fall-direct": chain(FallsBackDirect),
    "fall-whole": chain(FallsBackWhole),
    "both": chain(Both),
    "structured": chain(Structured),
}
RETRYING = ["retry", "retry-direct", "retry-whole"]
FALLING = ["fall", "fall-direct", "fall-whole"]


@pytest.fixture(scope="module")
def shared_second() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        Second.url = scripted.base_url
        yield scripted


@pytest.fixture
def second(shared_second: ScriptedUpstream) -> ScriptedUpstream:
    shared_second.wait_idle()
    shared_second.clear()
    shared_second.requests.clear()
    return shared_second


@pytest.fixture(scope="module")
def running(shared_upstream: ScriptedUpstream, shared_second: ScriptedUpstream) -> Iterator[Served]:
    with Served(FLOWS, heartbeat=0.0, first_token_timeout=0.5, stall_timeout=0.5) as server:
        yield server


@pytest.fixture
def served(
    running: Served, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> Iterator[Served]:
    before = running.counts()
    yield running
    eventually(lambda: running.counts() <= before, "nothing left", at_fault=running.tasks)


def hear(served: Served, model: str, *, stream: bool = True) -> tuple[int, str, str | None]:
    """Status, words, and the error's code."""
    if not stream:
        answer = httpx.post(served.url + CHAT, json=chat(model) | {"stream": False}, timeout=30)
        body = answer.json()
        if answer.status_code != 200:
            return answer.status_code, "", body["error"]["code"]
        return 200, body["choices"][0]["message"]["content"], None
    with served.post(chat(model), timeout=30) as client:
        if client.status != 200:
            return client.status, "", json.loads(client.read_body())["error"]["code"]
        events = [json.loads(one.data) for one in client.read_all() if one.data != "[DONE]"]
    error = next((one["error"]["code"] for one in events if "error" in one), None)
    deltas = [one["choices"][0]["delta"] for one in events if "choices" in one]
    return 200, "".join(delta.get("content") or "" for delta in deltas), error


def counted(name: str) -> float:
    return sum(metrics.snapshot()[f"launchpad_{name}_total"].values())


FAILURES: dict[str, list[Step]] = {
    "500": [Status(500)],
    "503": [Status(503)],
    "429 with Retry-After": [Status(429, {"Retry-After": "1"})],
    "a reset after the head": [Head(), Die()],
    "an error event": [ErrorEvent("no")],
    "a role, then a reset": [
        Raw(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'),
        Die(),
    ],
    "silence": [Head(), Hang()],
}


@pytest.mark.parametrize("model", RETRYING)
@pytest.mark.parametrize("failure", FAILURES)
def test_asked_again_after(
    served: Served, upstream: ScriptedUpstream, model: str, failure: str
) -> None:
    before = counted("retries")
    upstream.script(*FAILURES[failure])
    upstream.script(Chunk("here "), Chunk("I am"))
    assert hear(served, model, stream=model != "retry-whole") == (200, "here I am", None)
    assert len(upstream.requests) == 2
    assert counted("retries") == before + 1


def failures_of(provider: str) -> float:
    series = metrics.snapshot()["launchpad_upstream_errors_total"]
    return sum(count for labels, count in series.items() if dict(labels)["provider"] == provider)


HERS, SECONDS = "openai", "openai-compatible"


@pytest.mark.parametrize(
    ("model", "first", "then", "provider"),
    [
        ("retry", [Status(400)], [], HERS),
        ("retry-direct", [Chunk("one"), Die()], [], HERS),
        ("retry-whole", [Status(401)], [], HERS),
        ("fall", [Status(400)], [], HERS),
        ("fall", [Status(500)], [Status(500)], SECONDS),
        ("fall", [Head(), Die()], [Head(), Die()], SECONDS),
        ("fall", [Status(500)], [Chunk("one"), Die()], SECONDS),
        ("fall-direct", [Status(500)], [Chunk("one"), Die()], SECONDS),
        ("fall-direct", [Chunk("one"), Die()], [], HERS),
        ("fall-whole", [Status(500)], [Status(500)], SECONDS),
    ],
)
def test_a_failure_is_counted_for_whose_it_is(
    served: Served,
    upstream: ScriptedUpstream,
    second: ScriptedUpstream,
    model: str,
    first: list[Step],
    then: list[Step],
    provider: str,
) -> None:
    upstream.script(*first)
    second.script(*then)
    before = failures_of(provider), failures_of("")
    assert hear(served, model)[2] is not None
    eventually(lambda: failures_of(provider) == before[0] + 1, "the count")
    assert failures_of("") == before[1]


def test_a_reset_before_the_head(upstream: ScriptedUpstream) -> None:
    """On a connection of its own: on a kept one it is no more than a late goodbye."""
    upstream.script(Die())
    upstream.script(Chunk("here"))
    before = counted("retries")
    with Served(FLOWS, heartbeat=0.0) as served:
        assert hear(served, "retry") == (200, "here", None)
    assert counted("retries") == before + 1


@pytest.mark.parametrize("model", RETRYING)
def test_not_for_ever(served: Served, upstream: ScriptedUpstream, model: str) -> None:
    upstream.script_all(Status(500))
    assert hear(served, model) == (502, "", "upstream_error")
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
@pytest.mark.parametrize("model", RETRYING)
def test_not_where_it_changes_nothing(
    served: Served, upstream: ScriptedUpstream, model: str, status: int
) -> None:
    upstream.script_all(Status(status))
    assert hear(served, model)[0] in {400, 502}
    assert len(upstream.requests) == 1


def test_retry_after_is_kept_to(served: Served, upstream: ScriptedUpstream) -> None:
    upstream.script(Status(429, {"Retry-After": "1"}))
    upstream.script(Chunk("now"))
    assert hear(served, "retry") == (200, "now", None)
    first, again = upstream.requests
    assert again.received_at - first.received_at >= 0.99, "not sooner than it was told"


def test_a_long_retry_after_is_the_clients_to_wait_for(
    served: Served, upstream: ScriptedUpstream
) -> None:
    upstream.script_all(Status(429, {"Retry-After": "60"}))
    answer = httpx.post(served.url + CHAT, json=chat("retry"), timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("model", ["retry", "retry-direct", "fall", "fall-direct", "both"])
def test_never_after_the_first_content(
    served: Served, upstream: ScriptedUpstream, second: ScriptedUpstream, model: str
) -> None:
    upstream.script(Chunk("one "), Die())
    status, words, error = hear(served, model)
    assert (status, words) == (200, "one ")
    assert error is not None
    assert len(upstream.requests) == 1
    assert not second.requests


@pytest.mark.parametrize("model", FALLING)
@pytest.mark.parametrize("failure", [*FAILURES, "401"])
def test_another_model_takes_over(
    served: Served, upstream: ScriptedUpstream, second: ScriptedUpstream, model: str, failure: str
) -> None:
    before = counted("fallbacks")
    upstream.script(*FAILURES.get(failure, [Status(401)]))
    second.script(Chunk("instead"))
    assert hear(served, model, stream=model != "fall-whole") == (200, "instead", None)
    assert (len(upstream.requests), len(second.requests)) == (1, 1)
    assert second.requests[0].body["model"] == "second"
    assert counted("fallbacks") == before + 1


def test_a_wrong_request_goes_to_nobody_else(
    served: Served, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script(Status(400))
    assert hear(served, "fall")[0] == 400
    assert not second.requests


def test_when_all_fail_the_last_one_says_why(
    served: Served, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script_all(Status(500))
    second.script_all(Status(429, {"Retry-After": "9"}))
    answer = httpx.post(served.url + CHAT, json=chat("both"), timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")
    assert (len(upstream.requests), len(second.requests)) == (3, 1)


def test_what_works_is_asked_once_and_streams(served: Served, upstream: ScriptedUpstream) -> None:
    gate = Gate()
    for model in ("retry", "retry-direct", "fall", "fall-direct", "both"):
        upstream.script(Chunk("one"), WaitFor(gate), Chunk(" two"))
        with served.post(chat(model)) as client:
            event = client.next_event()
            while event is not None and "one" not in event.data:
                event = client.next_event()
            assert event is not None, "the first token comes before the second is made"
            gate.open()
            assert client.read_all()[-1].data == "[DONE]"
    assert len(upstream.requests) == 5


def test_structured_output_falls_back_in_its_own_mode(
    served: Served, upstream: ScriptedUpstream
) -> None:
    upstream.script(Status(500))
    upstream.script(Chunk('{"reply": '), Chunk('"hello"}'))
    assert hear(served, "structured") == (200, '{"reply": "hello"}', None)
    assert [request.body["model"] for request in upstream.requests] == ["scripted", "other-name"]
    assert upstream.requests[1].body["response_format"]["type"] == "json_schema"


def test_a_client_that_leaves_while_a_retry_waits(
    served: Served, upstream: ScriptedUpstream
) -> None:
    upstream.script_all(Status(429, {"Retry-After": "1"}))
    client = httpx.Client(timeout=0.4)
    with pytest.raises(httpx.TimeoutException):
        client.post(served.url + CHAT, json=chat("retry"))
    client.close()
    eventually(lambda: served.counts().runs == 0, "the run's end")
    assert len(upstream.requests) == 1


def test_a_fallback_that_cannot_work_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="groq"):
        check_config(AgentConfig(fallbacks=["groq:llama"]), Settings(model="local"))


def test_nothing_stands_around_a_model_that_wants_neither(upstream: ScriptedUpstream) -> None:
    from pydantic_ai.models.openai import OpenAIChatModel

    async def main() -> None:
        model = build_model(AgentConfig(), Settings(model="openai:scripted"))
        assert type(model) is OpenAIChatModel or isinstance(model, OpenAIChatModel)

    asyncio.run(main())
