"""Programs that trace; each runs in a process of its own (see conftest.py)."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from launchpad.observe import tracing
from launchpad.observe.tracing import RunSpan

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")


class Owner:
    """Runs a node's generator as the engine does: in one task from start to `aclose`."""

    def __init__(self, run: RunSpan, name: str, process: Callable[[], AsyncGenerator[str]]) -> None:
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.task = asyncio.create_task(self._own(run, name, process))

    async def _own(
        self, run: RunSpan, name: str, process: Callable[[], AsyncGenerator[str]]
    ) -> None:
        span = run.node(name)
        items = process()
        said: list[str] = []
        try:
            async for text in items:
                said.append(text)
                await self.texts.put(text)
        except BaseException as error:
            span.end(error=error)
            raise
        finally:
            await items.aclose()
            span.end(output="".join(said))


def agent_node(agent: Agent[None, str]) -> Callable[[], AsyncGenerator[str]]:
    async def process() -> AsyncGenerator[str]:
        agent.instrument = tracing.instrumentation()
        assert agent.instrument is not None
        async with agent.run_stream("Hello") as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                yield text

    return process


def say_hello() -> Agent[None, str]:
    return Agent(TestModel(custom_output_text="good day"), name="greeter")


def start_run() -> RunSpan:
    return tracing.run_tracer(True).run(
        "DemoWorkflow",
        "run_1",
        input={"messages": [{"role": "user", "content": "Hello"}]},
        metadata={"agent_id": "my-agent", "note": "x" * 300},
        session_id="session-1",
        user_id="user-1",
        tags=["demo"],
    )


async def two_nodes() -> None:
    """A run of two agent nodes, one after the other, and two at once inside a third."""
    run = start_run()
    assert tracing.instrumentation() is None
    for name in ("FirstNode", "SecondNode"):
        await Owner(run, name, agent_node(say_hello())).task
    outer = run.node("BothNode")

    async def inner(name: str) -> None:
        span = run.node(name)
        async for _ in agent_node(say_hello())():
            pass
        tracing.note("retry", attempt=1)
        span.end(output={"name": name})

    await asyncio.gather(inner("LeftNode"), inner("RightNode"))
    outer.end()
    assert tracing.instrumentation() is None
    run.end(output="good day")


async def abandoned() -> None:
    """The owner is cancelled mid-stream; the model's connection must close in its own task."""
    closed = asyncio.Event()

    async def endless(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        try:
            while True:
                yield "word "
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    run = start_run()
    owner = Owner(run, "EndlessNode", agent_node(Agent(FunctionModel(stream_function=endless))))
    await owner.texts.get()
    owner.task.cancel()
    await asyncio.wait([owner.task])
    await asyncio.wait_for(closed.wait(), 10)
    assert owner.task.cancelled()
    run.end(error=asyncio.CancelledError())
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def failing() -> None:
    """A node fails, with a key in its message; another is left open by the engine."""
    run = start_run()

    async def fail() -> AsyncGenerator[str]:
        yield "word"
        raise ValueError("refused sk-proj-0123456789abcdef")

    owner = Owner(run, "FailingNode", fail)
    await asyncio.wait([owner.task])
    error = owner.task.exception()
    run.node("ForgottenNode")
    # From a thread: whoever drops a run may be in any context.
    ender = threading.Thread(target=run.end, kwargs={"error": error})
    ender.start()
    ender.join()


async def odd_values() -> None:
    """What clients may send and nodes may return must not lose the batch."""
    circular: list[object] = []
    circular.append(circular)
    run = tracing.run_tracer(True).run(
        "OddWorkflow", "run_2", input=circular, user_id="jörg \ud800", metadata={"k": float("nan")}
    )
    span = run.node("OddNode")
    span.end(output="x" * 100_000 + "\ud800")
    span.end(output="again")
    run.end(output=object())


async def dead_host() -> None:
    """Nothing answers; runs, shutdown and the process's end go on."""
    run = start_run()
    for number in range(600):
        run.node(f"Node{number}").end(output="x")
    run.end()
    delivered = await asyncio.to_thread(tracing.shutdown, 0.2)
    sys.stdout.write(f"delivered {delivered}\n")
    start_run().end()


async def untraced() -> None:
    """Workflows that ask for tracing several times, without keys."""
    for _ in range(3):
        tracer = tracing.run_tracer(True)
        assert not tracer.enabled
        run = tracer.run("DemoWorkflow", "run_3")
        run.node("Node").end(output="x")
        run.end()
    assert tracing.instrumentation() is None
    assert not tracing.prepare()
    assert tracing.shutdown(1)
    assert "langfuse" not in sys.modules


async def without_extra() -> None:
    """Keys, but no langfuse installed."""

    from importlib import util

    found = util.find_spec
    util.find_spec = lambda name, package=None: None if name == "langfuse" else found(name, package)
    for _ in range(2):
        assert not tracing.run_tracer(True).enabled


async def own_provider() -> None:
    """The application has a provider of its own and no Langfuse."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    with trace.get_tracer("application").start_as_current_span("request"):
        run = start_run()
        await Owner(run, "FirstNode", agent_node(say_hello())).task
        run.end()
    assert tracing.shutdown(5)
    names = {span.context.span_id: span.name for span in memory.get_finished_spans()}
    for span in memory.get_finished_spans():
        above = names.get(span.parent.span_id) if span.parent else None
        sys.stdout.write(f"{span.name} < {above}\n")


async def workflow() -> None:
    """A real workflow on a scripted upstream: once to its end, once untraced, once abandoned."""
    from launchpad.core.nodes.agent import AgentConfig, ModelProvider
    from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
    from launchpad.core.schema import NodeConfig, WorkflowSchema
    from launchpad.core.workflow import Workflow
    from launchpad.testing.scripted_upstream import ScriptedUpstream
    from launchpad.testing.steps import Repeat
    from launchpad.wire.openai_chat.schema import OpenAIChatSchema

    with ScriptedUpstream() as upstream:

        class First(AgentStreamingNode):
            def get_agent_config(self) -> AgentConfig:
                return AgentConfig(
                    model_provider=ModelProvider.OPENAI_COMPATIBLE,
                    model_name="scripted",
                    base_url=upstream.base_url,
                    api_key="any",
                )

        class Second(First):
            pass

        class Demo(Workflow):
            workflow_schema = WorkflowSchema(
                event_schema=OpenAIChatSchema,
                start=First,
                nodes=[
                    NodeConfig(node=First, connections=[Second]),
                    NodeConfig(node=Second, connections=[]),
                ],
            )

        event = {
            "model": "demo",
            "messages": [{"role": "user", "content": "Hello you"}],
            "metadata": {"agent_id": "my-agent"},
        }
        for traced in (True, False):
            async for _ in Demo(enable_tracing=traced).run_stream_async(event):
                pass
        upstream.script(Repeat("word ", pace=0.005))
        stream = Demo(enable_tracing=True).run_stream_async(event)
        for _ in range(4):
            await anext(stream)
        await stream.aclose()
        await asyncio.to_thread(upstream.wait_idle)


SCENARIOS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    one.__name__: one
    for one in (
        two_nodes,
        abandoned,
        failing,
        odd_values,
        dead_host,
        untraced,
        without_extra,
        own_provider,
        workflow,
    )
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]]())
