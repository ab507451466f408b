"""Traces as they arrive at Langfuse's endpoint, over a real socket, from real processes."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.observe.conftest import ReceivedSpan, Receiver, Run, langfuse_keys

from launchpad.observe import tracing
from launchpad.observe.tracing import NO_EXTRA, NO_KEYS


@pytest.fixture(scope="module")
def demo(scenario: Run) -> Receiver:
    """What arrives of `two_nodes`."""
    receiver = Receiver()
    done = scenario("two_nodes", **langfuse_keys(receiver.url))
    receiver.close()
    assert done.stderr == ""
    return receiver


def test_a_run_is_one_trace_with_its_nodes_and_models(demo: Receiver) -> None:
    run = demo.one("DemoWorkflow")
    assert run.parent_id == ""
    assert {span.trace_id for span in demo.spans} == {run.trace_id}
    assert demo.children(run) == ["BothNode", "FirstNode", "SecondNode"]
    assert demo.children(demo.one("BothNode")) == ["LeftNode", "RightNode"]
    for name in ("FirstNode", "SecondNode", "LeftNode", "RightNode"):
        node = demo.one(name)
        assert demo.children(node) == ["invoke_agent greeter"]
        agent = next(span for span in demo.spans if span.parent_id == node.span_id)
        assert demo.children(agent) == ["chat test"]
    assert len(demo.spans) == 14


def test_the_trace_carries_the_clients_metadata(demo: Receiver) -> None:
    run = demo.one("DemoWorkflow")
    assert run.attributes["langfuse.observation.input"] == (
        '{"messages":[{"role":"user","content":"Hello"}]}'
    )
    assert run.attributes["langfuse.observation.output"] == "good day"
    assert run.attributes["langfuse.trace.metadata.run_id"] == '"run_1"'
    assert run.attributes["langfuse.trace.metadata.note"] == f'"{"x" * 300}"'
    assert run.attributes["langfuse.trace.tags"] == ["demo"]
    for span in demo.spans:  # Langfuse's sums by user or agent count only spans that have it
        assert span.attributes["user.id"] == "user-1"
        assert span.attributes["session.id"] == "session-1"
        assert span.attributes["langfuse.trace.metadata.agent_id"] == '"my-agent"'
    assert demo.one("LeftNode").events == ("retry",)
    assert demo.one("LeftNode").attributes["langfuse.observation.output"] == ('{"name":"LeftNode"}')


def test_the_receiver_is_addressed_as_langfuse_has_it(demo: Receiver) -> None:
    sent = demo.headers[0]
    assert sent["content-type"] == "application/x-protobuf"
    assert base64.b64decode(sent["authorization"].removeprefix("Basic ")) == (
        b"pk-lf-test:sk-lf-test-0123456789"
    )


def test_an_abandoned_run_ends_its_spans_and_closes_its_model(
    receiver: Receiver, keys: dict[str, str], scenario: Run
) -> None:
    done = scenario("abandoned", **keys)

    assert done.stderr == ""  # no "Failed to detach context"
    node = receiver.one("EndlessNode")
    assert node.attributes["langfuse.observation.status_message"] == "cancelled"
    assert not node.error
    model = receiver.one("chat function::endless")
    assert model.trace_id == node.trace_id == receiver.one("DemoWorkflow").trace_id


def test_a_failure_is_told_without_its_secrets_and_no_span_stays_open(
    receiver: Receiver, keys: dict[str, str], scenario: Run
) -> None:
    scenario("failing", **keys)

    node = receiver.one("FailingNode")
    assert node.error
    assert node.attributes["langfuse.observation.status_message"] == "ValueError: refused [hidden]"
    assert receiver.one("DemoWorkflow").error
    assert receiver.one("ForgottenNode").parent_id == receiver.one("DemoWorkflow").span_id


def test_odd_values_lose_no_batch(receiver: Receiver, keys: dict[str, str], scenario: Run) -> None:
    done = scenario("odd_values", **keys)

    assert done.stderr == ""
    output = receiver.one("OddNode").attributes["langfuse.observation.output"]
    assert output.endswith("(cut; 100001 characters)")
    assert receiver.one("OddWorkflow").attributes["user.id"] == "jörg ?"


@pytest.fixture(params=["refuses", "never answers"])
def dead_host(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "never answers":
            listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_dead_host_stops_neither_runs_nor_the_exit(dead_host: str, scenario: Run) -> None:
    done = scenario("dead_host", LANGFUSE_TIMEOUT="2", **langfuse_keys(dead_host))

    assert "delivered False" in done.stdout
    ours = [line for line in done.stderr.splitlines() if " launchpad." in line]
    assert sum("does not take traces" in line for line in ours) == 1
    assert sum("were not delivered" in line for line in ours) == 1
    assert len(ours) == 2


def test_without_keys_one_line_says_so(scenario: Run) -> None:
    done = scenario("untraced")

    assert done.stderr.splitlines() == [f"WARNING launchpad.observe.tracing {NO_KEYS}"]


def test_without_the_extra_one_line_names_it(scenario: Run) -> None:
    done = scenario("without_extra", **langfuse_keys("http://127.0.0.1:9"))

    assert done.stderr.splitlines() == [f"WARNING launchpad.observe.tracing {NO_EXTRA}"]


def test_a_malformed_variable_of_langfuses_is_one_line(scenario: Run) -> None:
    done = scenario("without_extra", LANGFUSE_TIMEOUT="soon", **langfuse_keys("http://127.0.0.1:9"))

    assert len(done.stderr.splitlines()) == 1


def test_an_applications_own_provider_gets_the_spans(scenario: Run) -> None:
    done = scenario("own_provider")

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "chat test < invoke_agent greeter",
        "invoke_agent greeter < FirstNode",
        "FirstNode < DemoWorkflow",
        "DemoWorkflow < request",
        "request < None",
    ]


def test_disabled_tracing_records_and_imports_nothing() -> None:
    code = (
        "import sys\n"
        "from launchpad.observe.tracing import run_tracer, instrumentation, note, shutdown\n"
        "run = run_tracer(False).run('W', 'r', input=object())\n"
        "assert run is run_tracer(False).run('W', 'r2')\n"
        "node = run.node('N')\n"
        "node.end(output=object(), error=ValueError())\n"
        "run.end()\n"
        "note('retry')\n"
        "assert instrumentation() is None and shutdown(0)\n"
        "heavy = ('opentelemetry', 'langfuse', 'pydantic')\n"
        "assert not [name for name in sys.modules if name.startswith(heavy)]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_node_outside_of_tracing_has_no_instrumentation() -> None:
    assert tracing.run_tracer(False).enabled is False
    assert tracing.instrumentation() is None


def test_a_workflow_is_traced_node_by_node(scenario: Run) -> None:
    receiver = Receiver()
    done = scenario("workflow", **langfuse_keys(receiver.url))
    receiver.close()
    # One line a run, and nothing about contexts that failed to detach.
    assert [line.split()[2:4] for line in done.stderr.splitlines()] == [["run", "ended"]] * 3
    completed, abandoned = (
        next(span for span in receiver.spans if span.name == "Demo" and _cancelled(span) is told)
        for told in (False, True)
    )
    assert receiver.children(completed) == ["First", "Second"]
    assert receiver.children(abandoned) == ["First"]
    assert sum(span.name == "chat scripted" for span in receiver.spans) == 3
    # The untraced run between them is not there.
    assert sum(span.name == "Demo" for span in receiver.spans) == 2


def _cancelled(span: ReceivedSpan) -> bool:
    return span.attributes.get("langfuse.observation.status_message") == "cancelled"
