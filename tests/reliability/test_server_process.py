"""`launchpad serve` as processes: signals, workers, reloads, kill -9."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Serve, Served, descendants, serve, wait_until_gone

from launchpad.testing.gate import Gate
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.sse import Stream, open_stream
from launchpad.testing.steps import Chunk, Repeat, WaitFor

from .harness import CHAT, chat, eventually

__all__ = ["serve"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FLOWS = """
from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema


class Talk(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()

    async def cleanup(self) -> None:
        print("cleaned up", flush=True)


class Talking(Workflow):
    workflow_schema = WorkflowSchema(
        description="Talks", event_schema=OpenAIChatSchema, start=Talk,
        nodes=[NodeConfig(node=Talk)],
    )
"""


@pytest.fixture
def flows(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "flows.py"
    path.write_text(FLOWS)
    return path


def start(serve: Serve, upstream: ScriptedUpstream, *options: str, **more: str) -> Served:
    given = {
        "LAUNCHPAD_MODEL": "openai:scripted",
        "LAUNCHPAD_HEARTBEAT": "0",
        "OPENAI_BASE_URL": upstream.base_url,
    }
    served = serve("flows.py", *options, **(given | more))
    assert served.url
    return served


def ask(served: Served) -> Stream:
    stream = open_stream(served.url + CHAT, chat("talking"), timeout=60)
    assert stream.next_event() is not None
    return stream


def test_sigterm_lets_streams_finish_and_exits_0(
    flows: Path, serve: Serve, upstream: ScriptedUpstream
) -> None:
    gate = Gate()
    upstream.script(Chunk("one"), WaitFor(gate), Chunk("two"))
    served = start(serve, upstream, LAUNCHPAD_SHUTDOWN_GRACE="60")
    stream = ask(served)
    served.process.send_signal(signal.SIGTERM)
    served.wait_for("1 runs go on")
    gate.open()
    assert stream.read_all()[-1].data == "[DONE]"
    assert served.process.wait(30) == 0
    stream.close()
    assert "Traceback" not in served.output


def test_a_second_sigterm_ends_them_with_an_error_and_exits_0(
    flows: Path, serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script(Repeat("t{i} ", pace=0.01))
    served = start(serve, upstream, LAUNCHPAD_SHUTDOWN_GRACE="600")
    stream = ask(served)
    served.process.send_signal(signal.SIGTERM)
    served.wait_for("1 runs go on")
    assert served.end() == 0
    assert "shutting down" in stream.read_all()[-1].data
    stream.close()
    assert upstream.requests[0].wait_ended() == "left"
    served.wait_for("cleaned up")
    assert "Traceback" not in served.output


@pytest.mark.parametrize("signals", [1, 2])
def test_workers_drain_and_hurry(
    flows: Path, serve: Serve, upstream: ScriptedUpstream, signals: int
) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    grace = "0.3" if signals == 1 else "600"
    served = start(serve, upstream, "--workers", "2", LAUNCHPAD_SHUTDOWN_GRACE=grace)
    streams = [ask(served) for _ in range(4)]
    everyone = descendants(served.process.pid)
    served.process.send_signal(signal.SIGTERM)
    served.wait_for("runs? go on")
    if signals == 2:
        served.process.send_signal(signal.SIGTERM)
    for stream in streams:
        assert "shutting down" in stream.read_all()[-1].data
        stream.close()
    assert served.process.wait(30) == 0
    wait_until_gone(everyone)
    upstream.wait_idle()
    assert "Traceback" not in served.output


def test_a_killed_worker_is_replaced(flows: Path, serve: Serve, upstream: ScriptedUpstream) -> None:
    upstream.script_all(Chunk("hello"))
    served = start(serve, upstream, "--workers", "1", "--workers", "2")
    ask(served).close()
    everyone = descendants(served.process.pid)
    servers = [pid for pid in everyone if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert len(servers) == 2
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    served.wait_for("a worker died")
    with ask(served) as stream:
        assert stream.read_all()[-1].data == "[DONE]"
    assert served.end() == 0
    wait_until_gone(everyone)


def test_workers_that_cannot_start_end_the_server(
    flows: Path, serve: Serve, upstream: ScriptedUpstream
) -> None:
    served = start(serve, upstream, "--workers", "2")
    ask(served).close()
    flows.write_text("raise RuntimeError('broken')")
    for pid in descendants(served.process.pid):
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    served.wait_for("a worker could not start")
    assert served.process.wait(60) != 0


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--reload",)])
def test_kill_9_leaves_nobody(
    flows: Path, serve: Serve, upstream: ScriptedUpstream, options: tuple[str, ...]
) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    served = start(serve, upstream, *options, LAUNCHPAD_SHUTDOWN_GRACE="0.2")
    stream = ask(served)
    everyone = descendants(served.process.pid)
    served.end(signal.SIGKILL)
    wait_until_gone(everyone)
    stream.read_all()
    stream.close()
    assert upstream.requests[0].wait_ended() == "left"


def test_an_open_stream_does_not_block_a_reload(
    flows: Path, serve: Serve, upstream: ScriptedUpstream
) -> None:
    upstream.script_all(Repeat("t{i} ", pace=0.01))
    served = start(serve, upstream, "--reload", LAUNCHPAD_SHUTDOWN_GRACE="600")
    stream = ask(served)
    flows.write_text(FLOWS + "\n")
    served.wait_for("Started server process.*(?s:.)*Started server process")
    assert "shutting down" in stream.read_all()[-1].data
    stream.close()
    again = ask(served)
    again.close()
    eventually(lambda: upstream.open_streams == 0, "the end of both upstream requests")
    everyone = descendants(served.process.pid)
    assert served.end() == 0
    wait_until_gone(everyone)
