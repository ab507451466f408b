"""Runs that somebody follows: each is pydantic-ai's own, be it the first or one of many alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, _agent_graph
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.run import AgentRun
from tests.models.plain_ways import ask_live, saying
from tests.models.upstream import DONE, STOP, text, upstream, usage

from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import StreamingModel

ANSWER = [*text("a", " b"), STOP, usage(3, 9), DONE]
Put = Callable[[pytest.MonkeyPatch, list[str]], None]


def seen_by(
    put: Put, patch: pytest.MonkeyPatch, *, before: int = 0, times: int = 6
) -> list[list[str]]:
    """What is seen of each of many alike runs by what is `put` in place `before` runs were made."""

    async def main() -> list[list[str]]:
        async with upstream(saying(ANSWER)) as server:
            for _ in range(before):
                await ask_live(server)
            seen: list[str] = []
            put(patch, seen)
            found: list[list[str]] = []
            for _ in range(times):
                await ask_live(server)
                found.append(list(seen))
                seen.clear()
            await aclose_clients()
            return found

    return asyncio.run(main())


class Proxy:
    """Says that it equals what it is put around, as the proxies of the package wrapt do."""

    def __init__(self, own: Any, seen: list[str]) -> None:
        self.own = own
        self.seen = seen

    def __eq__(self, other: object) -> bool:
        return bool(self.own == other)

    def __hash__(self) -> int:
        return hash(self.own)

    def __get__(self, agent: object, kind: type | None = None) -> Any:
        return self if agent is None else Proxy(self.own.__get__(agent, kind), self.seen)

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.seen.append("begins")
        return self.own(*given, **named)


def proxy(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    patch.setattr(Agent, "run_stream", Proxy(Agent.run_stream, seen))


class Unhashable(Proxy):
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


def unhashable(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    patch.setattr(Agent, "iter", Unhashable(Agent.iter, seen))


def managed(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """With the name, and the `__wrapped__`, of what it is put around."""
    own = Agent.run_stream

    @wraps(own)
    @asynccontextmanager
    async def watched(*given: Any, **named: Any) -> Any:
        seen.append("begins")
        async with own(*given, **named) as result:
            yield result
        seen.append("is over")

    patch.setattr(Agent, "run_stream", watched)


def decorated(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    @contextmanager
    def timed() -> Generator[None]:
        seen.append("begins")
        yield

    patch.setattr(Agent, "run_stream", timed()(Agent.run_stream))


def steps(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """Around those that each streamed run takes."""
    begin, request = _agent_graph.UserPromptNode.run, _agent_graph.ModelRequestNode.stream

    @wraps(begin)
    async def begun(*given: Any) -> Any:
        seen.append("begins")
        return await begin(*given)

    @asynccontextmanager
    @wraps(request)
    async def streamed(*given: Any) -> Any:
        seen.append("is streamed")
        async with request(*given) as stream:
            yield stream

    patch.setattr(_agent_graph.UserPromptNode, "run", begun)
    patch.setattr(_agent_graph.ModelRequestNode, "stream", streamed)


def drive(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """Around what takes them."""
    own: Any = AgentRun.next

    async def stepped(*given: Any) -> Any:
        seen.append("begins")
        return await own(*given)

    patch.setattr(AgentRun, "next", stepped)


def models(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """Around what each class of models asks, as those do that look for the classes."""
    own: Any = StreamingModel.request_stream

    def asked(*given: Any) -> Any:
        seen.append("begins")
        return own(*given)

    patch.setattr(StreamingModel, "request_stream", asked)


def each_agent(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
    """Around the methods of each that is made."""
    own = Agent.__init__

    def init(self: Any, *given: Any, **named: Any) -> None:
        own(self, *given, **named)
        if type(self) is Agent:
            run_stream = self.run_stream

            def watched(*prompt: Any, **given: Any) -> Any:
                seen.append("begins")
                return run_stream(*prompt, **given)

            self.run_stream = watched

    patch.setattr(Agent, "__init__", init)


@pytest.mark.parametrize("put", [proxy, unhashable, managed, decorated, steps, drive, models])
@pytest.mark.parametrize("before", [5, 0])
def test_who_puts_code_around_runs_sees_each_begin(
    put: Put, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *later = seen_by(put, monkeypatch, before=before)
    assert first[0] == "begins"
    assert later == [first] * 5


def test_what_is_taken_away_again_sees_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
        with patch.context() as patched:
            managed(patched, seen)

    assert seen_by(put, monkeypatch, before=5) == [[]] * 6


def test_who_puts_code_around_each_agent_sees_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen_by(each_agent, monkeypatch) == [["begins"]] * 6


def test_traces_that_agents_are_given_when_they_are_made_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def put(patch: pytest.MonkeyPatch, seen: list[str]) -> None:
        own = Agent.__init__

        def init(self: Any, *given: Any, **named: Any) -> None:
            own(self, *given, **named)
            self.instrument = InstrumentationSettings(tracer_provider=provider)

        patch.setattr(Agent, "__init__", init)
        monkeypatch.setattr(exporter, "export", lambda spans: seen.extend(map(named, spans)))

    def named(span: Any) -> str:
        return str(span.name)

    first, *later = seen_by(put, monkeypatch)
    assert first == ["chat scripted", "invoke_agent Node"]
    assert later == [first] * 5
