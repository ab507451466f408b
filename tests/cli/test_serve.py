"""`launchpad serve` as a process: what it prints, what it refuses, how it ends."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.models_local.conftest import why_no_model

from launchpad.cli.banner import show
from launchpad.cli.readiness import Readiness
from launchpad.core.nodes.base import Node
from launchpad.core.schema import WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.settings import Settings
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.catalog import Catalog

from .conftest import Serve, Served, descendants, launchpad, wait_until_gone

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_it_prints_what_it_serves_and_ends_cleanly(flows: Path, serve: Serve) -> None:
    served = serve("flows.py")
    answer = httpx.get(f"{served.url}/health")
    assert answer.status_code == 200
    assert "server" not in answer.headers
    served.wait_for("Ctrl-C stops it")
    assert "echo" in served.output
    assert "Says it again" in served.output
    assert "parcel: its event_schema Parcel does not derive from OpenAIChatSchema" in served.output
    assert f"curl -N {served.url}/v1/chat/completions" in served.output
    # One workflow that can be served needs no naming.
    assert served.ask("so it is").startswith("so it is")
    assert served.end() == 0
    assert "Traceback" not in served.output
    assert "Loading" not in served.output, "no node asks the local model"


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_garbage_is_looked_for_once_it_serves_but_not_among_what_the_start_has_made(
    flows: Path, serve: Serve, more: tuple[str, ...]
) -> None:
    told = 'yield f"{len(gc.get_objects()) < gc.get_freeze_count()} {gc.get_threshold()[0]}"'
    written = flows.read_text().replace('yield f"(process {os.getpid()})"', told)
    flows.write_text(f"import gc\nstarting = gc.get_threshold()[0]\n{written}")
    flows.write_text(flows.read_text().replace("[0]}", "[0]} {starting}"))
    served = serve("flows.py", *more)
    few_left, threshold, at_start = served.ask("").split()
    assert few_left == "True"
    assert int(threshold) < 10_000 < 100_000 < int(at_start)
    assert served.end() == 0


LEAVES_THINGS = """
import gc, weakref
from pathlib import Path

class Table:
    def __init__(self):
        self.myself = self

left = weakref.ref(Table())

async def numbers():
    try:
        while True:
            yield 1
    finally:
        Path("ended").write_text("with the loop")

kept = []
"""


def test_what_a_module_leaves_behind_is_collected_and_an_open_generator_ends_with_the_loop(
    flows: Path, serve: Serve
) -> None:
    speaks = 'kept.append(numbers()); await anext(kept[0]); yield f"{left() is None}"'
    written = flows.read_text().replace('yield f"(process {os.getpid()})"', speaks)
    flows.write_text(LEAVES_THINGS + written)
    served = serve("flows.py")
    assert served.ask("") == "True"
    assert served.end() == 0
    assert flows.with_name("ended").read_text() == "with the loop"


def test_ctrl_c_ends_it_cleanly(flows: Path, serve: Serve) -> None:
    served = serve(str(flows))
    assert served.url
    assert served.end(signal.SIGINT) == 0
    assert "Traceback" not in served.output


def test_times_may_be_without_end(flows: Path, serve: Serve) -> None:
    """Threads of the standard library cannot wait for `inf`, which says plainly what is meant."""
    times = [name for name, one in Settings.model_fields.items() if one.annotation is float]
    assert "shutdown_grace" in times
    served = serve(str(flows), **{f"LAUNCHPAD_{name.upper()}": "inf" for name in times})
    assert served.ask("hello").startswith("hello")
    assert served.end() == 0
    assert "OverflowError" not in served.output


def test_a_signal_during_the_start_ends_it_cleanly(flows: Path, serve: Serve) -> None:
    # Short naps: a signal in the instant before a sleep is seen by Python when that is over.
    naps = "import time\nfor _ in range(600): time.sleep(0.1)"
    flows.write_text(f"print('half way', flush=True)\n{naps}")
    served = serve("flows.py")
    served.wait_for("half way")
    assert served.end() == 0
    assert "Traceback" not in served.output


def test_options_come_from_the_environment_and_from_env_files(flows: Path, serve: Serve) -> None:
    flows.with_name(".env").write_text("LAUNCHPAD_MODEL_ALIASES=gpt-4o=echo\n")
    served = serve("flows", LAUNCHPAD_LOG_LEVEL="warning", LAUNCHPAD_HOST="localhost")
    assert served.url.startswith("http://localhost:")
    assert served.ask("hello", model="gpt-4o").startswith("hello")
    assert served.end() == 0
    assert "INFO" not in served.output


def test_without_a_default_it_says_how_to_set_one_and_warns_once_of_what_is_no_setting(
    flows: Path, serve: Serve
) -> None:
    flows.write_text(flows.read_text() + "    AGAIN = type('Again', (EchoWorkflow,), {})\n")
    served = serve("flows.py", LAUNCHPAD_API_KEY="me=secret")
    served.wait_for("Ctrl-C stops it")
    assert "No default: requests name their model" in served.output
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    paths = [("/v1/chat/completions", body), ("/chat/stream", {"message": "Hi"})]
    for path, asked in paths:
        answer = httpx.post(served.url + path, json=asked)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith("The request names no model")
    assert served.end() == 0
    assert served.output.count("LAUNCHPAD_API_KEY is no setting") == 1


@on_linux
def test_workers_share_the_port_and_leave_with_their_supervisor(flows: Path, serve: Serve) -> None:
    served = serve("flows:WorkflowRegistry", "--workers", "2")
    assert served.ask("hello", model="echo").startswith("hello")
    everyone = descendants(served.process.pid)
    assert len(everyone) >= 2
    assert served.end() == 0
    wait_until_gone(everyone)


@on_linux
def test_workers_do_not_outlive_a_killed_supervisor(flows: Path, serve: Serve) -> None:
    served = serve("flows.py", "--workers", "2")
    served.ask("hello")
    everyone = descendants(served.process.pid)
    assert served.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until_gone(everyone)


@on_linux
def test_reload_serves_the_changed_file(flows: Path, serve: Serve) -> None:
    served = serve("flows.py", "--reload")
    assert served.ask("one").startswith("one")
    flows.write_text(flows.read_text().replace('word + " "', 'word.upper() + " "'))
    served.wait_for("Started server process.*(?s:.)*Started server process")
    assert served.ask("two").startswith("TWO")
    everyone = descendants(served.process.pid)
    assert served.end() == 0
    wait_until_gone(everyone)


def test_beyond_this_machine_it_wants_keys(flows: Path, serve: Serve) -> None:
    refused = launchpad("serve", "flows.py", "--host", "0.0.0.0", cwd=flows.parent)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "LAUNCHPAD_API_KEYS" in refused.stderr
    assert "--allow-unauthenticated" in refused.stderr

    open_to_all = serve("flows.py", "--host", "0.0.0.0", "--allow-unauthenticated")
    open_to_all.wait_for(r"curl -N http://127\.0\.0\.1:")
    assert open_to_all.end() == 0

    keyed = serve("flows.py", "--host", "0.0.0.0", LAUNCHPAD_API_KEYS="me=secret-of-mine")
    port = keyed.url.rpartition(":")[2]
    assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 401
    keyed.wait_for("Authorization: Bearer")
    assert keyed.end() == 0
    assert "secret-of-mine" not in keyed.output


def test_a_port_in_use_is_one_clear_line(flows: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = launchpad("serve", "flows.py", "--port", str(port), cwd=flows.parent)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port} is in use" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.py",), "There is no file nowhere.py"),
        (("--log-level", "loud"), "LAUNCHPAD_LOG_LEVEL"),
        (("--host", "no-such-host.invalid", "--allow-unauthenticated"), "Cannot listen on"),
        (("--model", "abacus:v1"), "abacus:v1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = launchpad("serve", "--port", "0", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("launchpad: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_key_is_said_at_the_start(tmp_path: Path) -> None:
    done = launchpad(
        "serve", "--port", "0", "--model", "openai:gpt-5.4-mini", cwd=tmp_path, OPENAI_API_KEY=""
    )
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


@on_linux
@pytest.mark.local_model
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_local_model_comes_and_goes_with_the_server(
    tmp_path: Path, serve: Serve, end: signal.Signals
) -> None:
    if reason := why_no_model():
        pytest.skip(reason)
    served = serve(LAUNCHPAD_LOCAL_PARALLEL="1", LAUNCHPAD_LOCAL_CONTEXT="1024")
    assert served.url
    everyone = descendants(served.process.pid)
    assert len(everyone) == 1
    if end is signal.SIGTERM:
        assert served.ask("Say hello.", model="chat").strip()
    assert served.end(end) == (0 if end is signal.SIGTERM else -end)
    wait_until_gone(everyone)


def models(served: Served) -> set[int]:
    """The processes that hold a model."""
    everyone = descendants(served.process.pid)
    return {pid for pid in everyone if "child.py" in Path(f"/proc/{pid}/cmdline").read_text()}


@on_linux
@pytest.mark.local_model
def test_a_signal_while_the_model_loads_ends_it_cleanly(tmp_path: Path, serve: Serve) -> None:
    if reason := why_no_model():
        pytest.skip(reason)
    served = serve()
    served.wait_for("Loading")
    while not models(served):
        assert served.process.poll() is None
    (model,) = models(served)
    os.kill(model, signal.SIGSTOP)  # it goes on loading for ever
    assert served.end() == 0, served.output
    # Whoever swallows the signal's exception, as the collector does, has the process end in a
    # hurry: then the model ends by itself, as soon as it can.
    with suppress(ProcessLookupError):
        os.kill(model, signal.SIGCONT)
    wait_until_gone({model})
    assert "Traceback" not in served.output


@on_linux
@pytest.mark.local_model
def test_workers_share_one_local_model(tmp_path: Path, serve: Serve) -> None:
    if reason := why_no_model():
        pytest.skip(reason)
    served = serve("--workers", "2", LAUNCHPAD_LOCAL_CONTEXT="1024", LAUNCHPAD_LOCAL_PARALLEL="1")
    for _ in range(3):
        assert served.ask("Say hello.", model="chat").strip()
    (model,) = models(served)
    os.kill(model, signal.SIGKILL)
    served.wait_for("process ended")
    assert served.ask("Say hello.", model="chat").strip(), "it comes back by itself"
    assert model not in models(served)
    everyone = descendants(served.process.pid)
    assert served.end() == 0
    wait_until_gone(everyone)


def test_the_line_to_copy_asks_a_workflow_that_can_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Says(Node):
        def process(self, task_context: TaskContext) -> str:
            return "words"

    schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Says)
    says = type("SaysWorkflow", (Workflow,), {"workflow_schema": schema})
    for problems, asked in (({"a": "no key"}, "b"), ({"a": "no key", "b": "no key"}, "a")):
        readiness = Readiness(problems=problems)
        show(Catalog({"a": says, "b": says}), readiness, "http://x", Settings(_env_file=None))
        assert f'{{"model": "{asked}", ' in capsys.readouterr().out


def test_a_signal_does_not_bury_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from launchpad.cli.serve import serve\n"
        "from launchpad.errors import ConfigurationError\n"
        "from launchpad.settings import Settings\n"
        "try:\n"
        "    serve('nowhere.py', Settings(port=0))\n"
        "except ConfigurationError as error:\n"
        "    print(error, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGTERM
    assert done.stdout.startswith("There is no file nowhere.py")
    assert done.stderr == ""
